"""Words in column names that indicate the content: English, German, French and Spanish.

A line is one entry. A word matches itself, ``word*`` every word with that prefix, and several words
match if they are adjacent, or written as one. ``=`` before an entry means that the word has other
meanings too, so it matches only if all other words of the name are `NEUTRAL`:
``race`` and ``customer_race_code`` do, ``race_entries`` of a sports shop does not. Accents and
case make no difference; an umlaut may be written with an e.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

#: Entries by the agreement's name of a special category, see `protocol.agreement.duties`.
SPECIAL: Final[Mapping[str, str]] = {
    "racial-or-ethnic-origin": """
        ethni*, etnia*, etnic*, racial*, =race, =rasse, =raza,
        =raciale, skin color, skin colour, hautfarbe*, couleur de peau, color de piel, indigenous,
        migrationshintergrund*, =caste, =tribe
    """,
    "political-opinions": """
        politic*, politik*, politisch*, politiqu*, party affiliation, party member,
        party membership, partei*, =voter, voting intention, wahlverhalten, wahlabsicht*,
        electoral*, =democrat, =republican
    """,
    "religious-or-philosophical-beliefs": """
        relig*, =faith, =belief, beliefs, church, churches, mosque*, synagogue*, muslim*, islam*,
        jewish, =jew, =christian, catholic*, protestant*, hindu*, buddhis*, philosophical*, kosher,
        halal, kirche*, konfession*, =glaube, glaubens*, weltanschau*, katholi*, evangelisch*,
        muslimisch*, confession*, croyance*, eglise*, musulman*, =juif, catholique*, confesion*,
        creencia*, iglesia*, catolic*, =judio
    """,
    "trade-union-membership": """
        trade union, trade unions, labor union, labour union, union member, union members,
        union membership, union dues, gewerkschaft*, syndicat, syndicats, syndical*, syndique*,
        sindicat*, sindical*
    """,
    "genetic-data": """
        genetic*, genetik*, genetisch*, genetiqu*, genom, genome*, genomic*, genotyp*, dna, adn,
        gentest*
    """,
    "biometric-data": """
        biometr*, fingerprint*, faceprint*, voiceprint*, face recognition, facial recognition,
        iris scan, retina scan, fingerabdruck*, gesichtserkennung*, empreinte digitale,
        empreintes digitales, huella dactilar, huellas dactilares
    """,
    # What somebody buys in a pharmacy is health data: CJEU, C-21/23 (Lindenapotheke).
    "health": """
        health, healthcare, medical*, medication*, medicine*, patient, patients, diagnosis,
        diagnoses, diagnosed, disease*, illness*, =sick, sickness, disability, disabilities,
        =disabled, =handicap, handicapped, symptom*, therapy, therapies, therapist*, surgery,
        hospital, hospitals, clinic, clinics, clinical*, doctor, doctors, prescription*, pharmac*,
        drug, drugs, allerg*, pregnan*, cancer, diabet*, hiv, covid*, vaccin*, insulin*, =bmi,
        body mass index, blood pressure, blood type, blood group, mental health, psychiatr*,
        psychother*, depress*, addiction*, dementia, icd,
        gesundheit*, krank, kranke*, krankheit*, patientin*, diagnose*, arzt*, arzneimittel*,
        apotheke*, medikament*, medizin*, rezeptpflicht*, behinder*, schwerbehinder*, schwanger*,
        impf*, therapie*, pflegegrad*, blutdruck*, blutgruppe*, klinik*, psychisch*, sucht*,
        sante, maladie*, malade*, grossesse*, =enceinte, medecin*, medicament*, ordonnance*,
        hopital*, hopitaux, =diagnostic, invalidite*,
        salud, enfermedad*, =enfermo, =enferma, embaraz*, discapac*, medico*, medica, farmac*,
        vacuna*, alergi*, hospitales, diagnostico*
    """,
    "sex-life-or-sexual-orientation": """
        sexual*, sexuell*, sexuel*, sex life, sex orientation, lgbt*, =gay, lesbian*, lesbisch*,
        lesbienne*, homosex*, heterosex*, bisex*, transgender*, transsex*, =queer, =schwul,
        vie sexuelle, vida sexual
    """,
    "criminal-convictions": """
        criminal*, conviction*, convicted, felon, felony, felonies, arrested, arrests, offender*,
        prison*, vorstraf*, straftat*, strafregister*, fuhrungszeugnis*, haftstrafe*,
        casier judiciaire, condamnation*, condamne, infraction penale, antecedentes penales,
        condena*, =delito, delitos
    """,
}

#: Entries for ages and dates of birth.
CHILD: Final = """
    =age, date of birth, birth date, birth day, birth year, year of birth, =birth, birthdate*,
    birthday*, dob, =minor, underage, school grade, geburtsdatum, geburtstag*, geburtsjahr*,
    =geburt, =alter, altersgruppe*, minderjahrig*, lebensalter*, date de naissance,
    annee de naissance, =naissance, =mineur, fecha de nacimiento, ano de nacimiento, =nacimiento,
    =edad, menor de edad
"""

#: Entries for identifiers, by their names for people.
IDENTIFIER: Final[Mapping[str, str]] = {
    "e-mail address": "=email, =e mail, =mail, =courriel, =correo, =correo electronico",
    "telephone number": """
        =phone, =telephone, =mobile, =cellphone, =cell, =fax, =msisdn, =telefon, =telefonnummer,
        =handy, =handynummer, =rufnummer, =mobilnummer, =portable, =telefono, =movil
    """,
    "bank account or card number": """
        iban, =bic, =swift, account number, account no, =kontonummer, =bankverbindung, card number,
        credit card number, =kartennummer, =kreditkartennummer, =pan, =rib, numero de compte,
        numero de carte, numero de cuenta, numero de tarjeta
    """,
    "number of an official document": """
        ssn, social security number, =social security, national id, =passport, passport number,
        driving licence number, driver license number, tax id, tax number, =tin, =nino, =steuerid,
        steuernummer, =sozialversicherungsnummer, =personalausweis, =reisepass, ausweisnummer,
        =nir, numero de securite sociale, =passeport, =dni, =nif, =nie, =pasaporte
    """,
    "name of a person": """
        =name, first name, last name, full name, family name, given name, middle name, =firstname,
        =lastname, =surname, =forename, =vorname, =nachname, =familienname, =prenom, =nom,
        nom de famille, =nombre, nombre completo, =apellido, =apellidos
    """,
    "address": """
        =address, =street, street address, house number, =strasse, =anschrift, =hausnummer,
        =adresse, =rue, =direccion, =calle
    """,
    "address or mark of a device": """
        =ip, ip address, ip adresse, =ipv, mac address, =imei, =imsi, =idfa, =gaid, =cookie,
        browser fingerprint, device fingerprint
    """,
    "customer number": """
        customer number, customer no, customer nr, customer key, client number, client no,
        member number, membership number, loyalty number, loyalty card, user name, =username,
        =login, =uuid, =guid, =kundennummer, kunden nr, kunden nummer, =kundennr,
        =mitgliedsnummer, numero de client, numero client, numero de cliente, numero cliente
    """,
}

_NOTHING: Final = """
    a an the of in at is has my its customer customers client clients cliente clientes kunde kunden
    user users person member members mitglied contact consumer buyer shopper subscriber de du der
    des die das del la le les el los code codes flag type value val col column field primary main
    home work private business office current number num nr no nummer numero info data raw hash
    hashed md5 sha256 text str string years year yrs jahre ans anos group groups band range bracket
    category class status address adresse id key
"""
#: Words that do not indicate a column's content.
NEUTRAL: Final = frozenset(_NOTHING.split())
#: Words that make a key of the word before them.
KEYS: Final = frozenset({"id", "ids", "uid", "uuid", "guid"})
