"""Which columns are identifiers, special categories or tell a child: by name and by values."""

from __future__ import annotations

import numpy as np
import pytest

from partner_node.columns.special import of_name, of_values, words_of
from partner_node.columns.special_words import CHILD, IDENTIFIER, SPECIAL
from protocol.agreement.duties import SPECIAL_CATEGORIES

SPECIAL_NAMES = {
    "health": (
        "health", "HealthScore", "medical_spend", "n_diagnoses", "patient_flag", "pharmacy_orders",
        "pregnancyWeek", "gesundheitszustand", "krankenkasse", "Schwerbehinderung",
        "apotheke_umsatz", "depenses_santé", "maladie", "pharmacie", "estado_de_salud",
        "enfermedades", "farmacia",
        "is_disabled", "mental_health", "blood_pressure", "BMI", "icd10",
    ),
    "racial-or-ethnic-origin": (
        "race", "customer_race_code", "ethnicity", "ethnische_herkunft", "Ethnizität",
        "ethnizitaet", "origine_ethnique", "etnia", "hautfarbe", "skinColor",
    ),
    "political-opinions": (
        "political_leaning", "politische_meinung", "parteimitglied", "opinion_politique",
        "afiliacion_politica", "party_membership",
    ),
    "religious-or-philosophical-beliefs": (
        "religion", "religious_spend", "church_tax", "kirchensteuer", "konfession", "kosher_items",
        "croyances", "iglesia", "faith",
    ),
    "trade-union-membership": (
        "trade_union", "tradeUnion", "union_member", "gewerkschaftsmitglied", "syndicat",
        "sindicato", "laborunion",
    ),
    "genetic-data": ("genetic_risk", "dna", "genom", "adn", "test_génétique"),
    "biometric-data": ("biometric_hash", "fingerprint", "fingerabdruck", "empreinte_digitale"),
    "sex-life-or-sexual-orientation": (
        "sexual_orientation", "sexuelle_orientierung", "sex_life", "lgbtq", "orientation_sexuelle",
        "orientacion_sexual",
    ),
    "criminal-convictions": (
        "criminal_record", "convictions", "vorstrafen", "casier_judiciaire",
        "antecedentes_penales",
    ),
}  # fmt: skip
CHILD_NAMES = (
    "age", "customer_age", "AgeGroup", "date_of_birth", "birthDate", "birth_year", "dob", "Alter",
    "geburtsdatum", "date_de_naissance", "âge", "edad", "fecha_de_nacimiento", "is_minor",
    "minderjährig", "minderjaehrig", "age_years",
)  # fmt: skip
IDENTIFIER_NAMES = (
    "email", "e_mail", "E-Mail", "customer_email", "mail_address", "phone", "phone_number",
    "mobile", "telefon", "telefono", "iban", "account_number", "ssn", "social_security_number",
    "passport_number", "first_name", "lastName", "nachname", "prénom", "apellidos", "street",
    "adresse", "ip_address", "imei", "customer_id", "customerId", "id", "store_id", "kundennummer",
    "Kunden-Nr", "numero_client", "uuid", "browser_fingerprint", "creditCardNumber",
)  # fmt: skip
#: Names of features that customers are really segmented by, near the words above.
HARMLESS = (
    "wealth_index", "wealthy", "email_opens", "emails_sent", "email_click_rate", "phone_calls",
    "mobile_share", "account_age_days", "age_of_account", "average_basket", "days_since_order",
    "race_entries", "races_run", "net_spend", "orders", "items_per_order", "recency_days",
    "tenure_days", "visits", "spend_in_eur", "hospitality_spend", "psychographic_score",
    "party_size", "union_square_visits", "account_disabled_days", "valid_orders", "paid_share",
    "nombre_commandes", "alternative_channel_share", "stage", "message_count", "page_views",
    "storage_gb", "garbage_bags", "names_on_list", "iris_bouquets", "drugstore_visits",
    "christian_dior_spend", "panel_views", "address_changes", "mail_orders", "minor_returns",
    "crime_novels", "sexes_tracked", "sussex_visits", "essex_orders", "returns_share", "f_0",
    "golf_handicap_gear", "enceintes_audio", "recipes_viewed", "partial_returns",
    "department_count", "logins_per_week", "discount_share", "basket_value",
    "cookies_bought", "candid_photos",
)  # fmt: skip


@pytest.mark.parametrize(
    ("category", "name"), [(c, name) for c, names in SPECIAL_NAMES.items() for name in names]
)
def test_a_name_of_a_special_category_is_found_under_the_agreements_word(
    category: str, name: str
) -> None:
    found = of_name(name)
    assert found is not None
    assert (found.kind, found.what) == ("special category", category)
    assert found.why.startswith("its name has the word ")


@pytest.mark.parametrize("name", CHILD_NAMES)
def test_a_name_that_tells_a_child_from_an_adult_is_found(name: str) -> None:
    found = of_name(name)
    assert found is not None
    assert found.kind == "child"


@pytest.mark.parametrize("name", IDENTIFIER_NAMES)
def test_a_name_of_an_identifier_is_found(name: str) -> None:
    found = of_name(name)
    assert found is not None
    assert found.kind == "identifier"


@pytest.mark.parametrize("name", HARMLESS)
def test_a_usual_feature_is_not_taken_for_something_else(name: str) -> None:
    assert of_name(name) is None


def test_the_words_cover_every_special_category_of_the_agreement_and_no_other() -> None:
    assert tuple(SPECIAL) == SPECIAL_CATEGORIES
    assert set(SPECIAL_NAMES) == set(SPECIAL_CATEGORIES)


def test_every_entry_of_the_lists_can_be_met() -> None:
    """Words are compared in lower case and without accents, so an entry must be written so."""
    for text in (*SPECIAL.values(), CHILD, *IDENTIFIER.values()):
        for line in text.split(","):
            plain = line.strip().strip("=*")
            if not plain:
                continue
            assert words_of(plain) == tuple(plain.split()), plain
            assert of_name(plain) is not None, plain


def _generator() -> np.random.Generator:
    return np.random.default_rng(7)


def _card(prefix: str, generator: np.random.Generator) -> str:
    digits = prefix + "".join(map(str, generator.integers(0, 10, 15 - len(prefix))))
    total = sum(
        d - 9 if d > 9 else d
        for i, d in enumerate(int(c) * (2 - i % 2) for i, c in enumerate(reversed(digits)))
    )
    return digits + str(-total % 10)


VALUES_OF_PERSONS = {
    "e-mail address": [f"kunde{i}@laden.example" for i in range(20)],
    "telephone number": [f"+49 151 {1000000 + 7919 * i}" for i in range(20)],
    "IBAN": ["DE89370400440532013000", "GB82 WEST 1234 5698 7654 32"],
    "payment card number": [_card("4", _generator()) for _ in range(3)],
    "IP address": ["192.0.2.17", "198.51.100.4"],
    "unique key (UUID)": ["3f2504e0-4f89-41d3-9a0c-0305e82c3301"],
    "social security number": ["123-45-6789", "987-65-4321"],
}


@pytest.mark.parametrize("what", VALUES_OF_PERSONS)
def test_texts_shaped_like_an_identifier_are_found(what: str) -> None:
    found = of_values(VALUES_OF_PERSONS[what])
    assert found is not None
    assert (found.kind, found.what) == ("identifier", what)


@pytest.mark.parametrize(
    "texts",
    [
        ["0151 2345678", "030/1234567"],
        ["(030) 123 45 67", "(089) 98 76 54"],
        ["555-867-5309", "212-555-0187"],
        ["0049 151 23456789"],
    ],
)
def test_telephone_numbers_are_found_as_people_write_them(texts: list[str]) -> None:
    found = of_values(texts)
    assert found is not None
    assert found.what == "telephone number"


@pytest.mark.slow
def test_numbers_shaped_like_an_identifier_are_found() -> None:
    generator = _generator()
    cards = [float(_card("4", generator)) for _ in range(300)]
    phones = generator.integers(4_915_100_000_000, 4_917_999_999_999, 300).astype(float)
    counted = np.cumsum(generator.integers(1, 900, 300)).astype(float)
    shuffled = generator.permutation(np.arange(500.0, 800.0))
    long = generator.choice(np.arange(20_000_000, 90_000_000), 300, replace=False).astype(float)
    expected = {
        "payment card number": cards,
        "telephone number": phones,
        "key, as a database counts them up": counted,
        "key of 8 digits": long,
    }
    for what, values in expected.items():
        found = of_values(list(values))
        assert found is not None, what
        assert (found.kind, found.what) == ("identifier", what)
    assert of_values(list(shuffled)) == of_values(list(counted))
    assert of_values([str(int(value)) for value in long]) == of_values(list(long))


@pytest.mark.parametrize(
    "values",
    [
        _generator().gamma(2.0, 80.0, 500),
        np.round(_generator().gamma(2.0, 80.0, 500), 2),
        np.round(_generator().gamma(2.0, 800.0, 2000)) * 1.0,  # money in whole cents
        np.round(_generator().lognormal(10, 1.2, 500)),
        _generator().poisson(4, 500).astype(float),
        _generator().integers(0, 730, 500).astype(float),
        _generator().integers(1_600_000_000, 1_700_000_000, 500).astype(float),  # seconds
        np.sort(_generator().integers(0, 400, 500)).astype(float),
        _generator().integers(0, 2, 500).astype(float),
        np.arange(99.0),
        np.full(500, 7.0),
        -np.arange(500.0),
    ],
)
def test_values_of_usual_features_are_not_taken_for_identifiers(values: np.ndarray) -> None:
    assert of_values(list(values)) is None
    assert of_values([f"{value:.2f}" for value in values]) is None or (values % 1 == 0).all()


@pytest.mark.parametrize(
    "texts",
    [
        ["2024-01-31", "2023-12-01"],
        ["31.01.2024", "01.12.2023"],
        ["north", "south"],
        ["12,5", "0.5", "-3"],
        ["0.12345678", "0.2"],
        ["", " "],
        [],
    ],
)
def test_other_texts_are_not_taken_for_identifiers(texts: list[str]) -> None:
    assert of_values(texts) is None


def test_what_is_missing_is_left_out_and_no_value_is_told() -> None:
    found = of_values([None, float("nan"), "", "ada@example.org", float("inf"), object()])
    assert found is not None
    assert found.why == "100 % of 1 values looked at have this shape"
    assert of_values([None, float("nan")]) is None
