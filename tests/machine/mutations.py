"""Guards taken out one at a time, each with a test that has to notice.

A mutation is `(file, text, replacement, test)`: the text occurs once in the file.
"""

from __future__ import annotations

FILES = "machine/files.py"
LOCKS = "machine/locks.py"
DATABASE = "machine/database.py"
SOFTWARE = "machine/software.py"
LOGS = "machine/logs.py"
BACKUPS = "machine/backups.py"
ENDPOINT = "machine/metrics/endpoint.py"
FAMILIES = "machine/metrics/families.py"
ACCOUNTS = "machine/accounts/accounts.py"
PASSWORDS = "machine/accounts/passwords.py"
SECOND_FACTOR = "machine/accounts/second_factor.py"
GUESSING = "machine/accounts/guessing.py"
SESSIONS = "machine/accounts/sessions.py"
ACTS = "machine/accounts/acts.py"
USER = "machine/accounts/commands.py"
SHIELD = "machine/web/shield.py"
FORMS = "machine/web/forms.py"
APPLICATION = "machine/web/application.py"
WRITING = "machine/web/writing.py"
SERVING = "machine/web/serving.py"

WRITTEN = "test_files.py::"
STORED = "test_database.py::"
LOGGED = "test_logs.py::"
BACKED_UP = "test_backups.py::"
MEASURED = "test_metrics.py::"
PROVED = "test_accounts.py::"
MANAGED = "test_user_cli.py::"
BROWSED = "test_web.py::"
VOUCHED = "test_oidc.py::"
OIDC = "machine/web/oidc/"

MUTATIONS: list[tuple[str, str, str, str]] = [
    (
        FILES,
        "        if os.geteuid() == 0:\n            made =",
        "        if False:\n            made =",
        "test_files.py::test_a_folder_that_root_makes_belongs_to_whoever_has_the_one_above",
    ),
    (
        FILES,
        "            if os.geteuid() == 0:\n                owner",
        "            if False:\n                owner",
        "test_database.py::test_what_root_makes_belongs_to_whoever_has_the_folder",
    ),
    (
        FILES,
        "                owner = os.fstat(folder)\n",
        "                owner = path.parent.stat()\n",
        "test_files.py::test_a_folder_that_is_put_in_the_place_of_another_gets_no_file_of_it",
    ),
    (
        FILES,
        "os.open(path.name, flags, 0o600, dir_fd=folder)",
        "os.open(path, flags, 0o600)",
        "test_files.py::test_a_folder_that_is_put_in_the_place_of_another_gets_no_file_of_it",
    ),
    (
        FILES,
        "                os.fchown(made, owner.st_uid, owner.st_gid)\n            finally:",
        "                pass\n            finally:",
        "test_files.py::test_a_folder_that_root_makes_belongs_to_whoever_has_the_one_above",
    ),
    (
        LOCKS,
        "os.O_CLOEXEC | os.O_NOFOLLOW",
        "os.O_CLOEXEC",
        "test_locks.py::test_a_link_in_the_place_of_a_lock_is_not_followed",
    ),
    (
        LOCKS,
        "            return new_for_owner(path)\n",
        "            return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)\n",
        "test_locks.py::test_a_lock_that_root_makes_belongs_to_whoever_has_the_folder",
    ),
    (
        "machine/private_files.py",
        "    if not in_own_folder:\n        return run\n",
        "",
        "test_files.py::test_whoever_calls_a_command_for_a_service_is_told_to_do_so_as_its_account",
    ),
    # signing in by an identity provider
    (
        OIDC + "fetching.py",
        "        if not self._free.acquire(blocking=False):\n",
        "        if False:\n",
        VOUCHED + "test_a_slow_provider_and_many_at_once_hold_nobody_up",
    ),
    (
        OIDC + "fetching.py",
        "                if time.monotonic() > until:\n",
        "                if False:\n",
        VOUCHED + "test_a_slow_provider_and_many_at_once_hold_nobody_up",
    ),
    (
        ACCOUNTS,
        "            if account.identity is not None:\n",
        "            if False:\n",
        MANAGED + "test_an_account_may_be_of_a_person_at_a_provider",
    ),
    (
        ACTS,
        "who.removesuffix(_AT_THE_MACHINE).casefold()",
        "who.removesuffix(_AT_THE_MACHINE)",
        "test_accounts.py::test_an_account_of_the_machine_is_the_same_person_in_whatever_letters",
    ),
    (
        ACTS,
        "            except StoreError as error:\n",
        "            except ZeroDivisionError as error:\n",
        "test_accounts.py::test_an_outcome_that_cannot_be_noted_fails_nothing_that_was_done",
    ),
    (
        USER,
        "    if issuer is None:\n",
        "    if False:\n",
        MANAGED + "test_without_a_provider_nobody_is_vouched_for",
    ),
    (
        OIDC + "sign_in.py",
        "if flow is None or not hmac.compare_digest(state, flow.state.encode()):",
        "if flow is None:",
        VOUCHED + "test_another_state_signs_nobody_in",
    ),
    (
        OIDC + "sign_in.py",
        '        self._provider.check_issuer(answer.get("iss"), now)\n',
        "",
        VOUCHED + "test_an_answer_of_another_provider_is_refused",
    ),
    (
        OIDC + "sign_in.py",
        ' if _ERROR.fullmatch(answer["error"]) else "an error"',
        "",
        VOUCHED + "test_what_the_provider_refuses_is_said_in_its_code_alone",
    ),
    (
        OIDC + "sign_in.py",
        "if not secret or not secret.isascii() or not secret.isprintable():",
        "if False:",
        VOUCHED + "test_a_secret_that_others_may_read_or_that_is_none_is_refused",
    ),
    (
        OIDC + "flows.py",
        "flow = self._open.pop(_hashed(cookie), None)",
        "flow = self._open.get(_hashed(cookie))",
        VOUCHED + "test_nobody_comes_back_twice",
    ),
    (
        OIDC + "flows.py",
        "None if flow is None or now - flow.begun_at > GOOD_FOR else flow",
        "flow",
        VOUCHED + "test_a_sign_in_is_good_for_ten_minutes",
    ),
    (
        OIDC + "flows.py",
        "            while len(self._open) >= _MOST:\n",
        "            while False:\n",
        VOUCHED + "test_flows_that_nobody_ends_are_bounded",
    ),
    (
        OIDC + "provider.py",
        "if named is None and not self.described(now).says_issuer:",
        "if named is None:",
        VOUCHED + "test_a_provider_that_names_itself_has_to",
    ),
    (
        OIDC + "provider.py",
        'if values.get("issuer") != self._settings.issuer:',
        "if False:",
        VOUCHED + "test_a_description_that_leads_astray_is_not_followed",
    ),
    (
        OIDC + "provider.py",
        " or not is_provider_url(url, query=query)",
        "",
        VOUCHED + "test_a_description_that_leads_astray_is_not_followed",
    ),
    (
        OIDC + "provider.py",
        "AGAIN if again else _KEPT, fetch",
        "timedelta(0) if again else _KEPT, fetch",
        VOUCHED + "test_new_keys_are_fetched_when_a_token_names_one_but_not_often",
    ),
    (
        OIDC + "provider.py",
        " or len(listed) > _MOST_KEYS",
        "",
        VOUCHED + "test_an_answer_that_is_none_signs_nobody_in",
    ),
    (
        OIDC + "fetching.py",
        "follow_redirects=False",
        "follow_redirects=True",
        VOUCHED + "test_an_answer_that_is_none_signs_nobody_in",
    ),
    (
        OIDC + "fetching.py",
        "if len(data) > MAX_BYTES:",
        "if False:",
        VOUCHED + "test_a_right_answer_that_is_too_large_or_packed_signs_nobody_in",
    ),
    (
        OIDC + "fetching.py",
        ' or "content-encoding" in answer.headers',
        "",
        VOUCHED + "test_a_right_answer_that_is_too_large_or_packed_signs_nobody_in",
    ),
    (
        OIDC + "fetching.py",
        "        except (ValueError, RecursionError):\n",
        "        except ValueError:\n",
        VOUCHED + "test_an_answer_that_is_none_signs_nobody_in",
    ),
    (
        OIDC + "id_token.py",
        "        if algorithm not in ALGORITHMS:\n",
        "        if False:\n",
        VOUCHED + "test_a_token_that_the_provider_did_not_sign_is_refused",
    ),
    (
        OIDC + "id_token.py",
        "audience=client_id",
        "audience=None",
        VOUCHED + "test_a_token_that_says_something_else_is_refused",
    ),
    (
        OIDC + "id_token.py",
        "issuer=issuer",
        "issuer=None",
        VOUCHED + "test_a_token_that_says_something_else_is_refused",
    ),
    (
        OIDC + "id_token.py",
        '["iss", "sub", "aud", "exp", "iat"]',
        '["iss", "sub", "aud", "iat"]',
        VOUCHED + "test_a_token_that_says_something_else_is_refused",
    ),
    (
        OIDC + "id_token.py",
        'if not hmac.compare_digest(str(claims.get("nonce", "")).encode(), nonce.encode()):',
        "if False:",
        VOUCHED + "test_a_token_that_says_something_else_is_refused",
    ),
    (
        OIDC + "id_token.py",
        "issued < begun_at.timestamp() - LEEWAY_S",
        "False",
        VOUCHED + "test_a_token_that_says_something_else_is_refused",
    ),
    (
        OIDC + "id_token.py",
        "    if not is_subject(subject):\n",
        "    if False:\n",
        VOUCHED + "test_a_token_that_says_something_else_is_refused",
    ),
    (
        OIDC + "id_token.py",
        '    if (several or "azp" in claims) and claims.get("azp") != client_id:\n',
        "    if False:\n",
        VOUCHED + "test_a_token_that_says_something_else_is_refused",
    ),
    (
        OIDC + "id_token.py",
        '(several or "azp" in claims)',
        '("azp" in claims)',
        VOUCHED + "test_a_token_that_says_something_else_is_refused",
    ),
    (
        OIDC + "id_token.py",
        'if acr_values and claims.get("acr") not in acr_values:',
        "if False:",
        VOUCHED + "test_how_somebody_signed_in_may_be_asked_for",
    ),
    (
        OIDC + "id_token.py",
        'one.get("use", "sig") != "sig" or ',
        "",
        VOUCHED + "test_a_short_key_and_one_for_another_use_are_not_taken",
    ),
    (
        OIDC + "id_token.py",
        "return key if key.key_size >= _MIN_RSA_BITS else None",
        "return key",
        VOUCHED + "test_a_short_key_and_one_for_another_use_are_not_taken",
    ),
    (
        OIDC + "id_token.py",
        'if kid is not None and one.get("kid") != kid:',
        "if False:",
        VOUCHED + "test_new_keys_are_fetched_when_a_token_names_one_but_not_often",
    ),
    (
        OIDC + "id_token.py",
        "    if len(found) > 1:\n",
        "    if False:\n",
        VOUCHED + "test_a_token_says_which_of_several_keys_signed_it",
    ),
    (
        APPLICATION,
        'samesite="lax", secure=self',
        'samesite="none", secure=self',
        VOUCHED + "test_the_provider_is_asked_with_a_fresh_state_nonce_and_challenge",
    ),
    (
        APPLICATION,
        "'__Host-' if site.secure else ''",
        "''",
        VOUCHED + "test_by_tls_the_cookie_is_bound_to_the_host",
    ),
    (
        APPLICATION,
        "        accounts.guessing.refuse_vouched_early(address, now)\n",
        "",
        VOUCHED + "test_whoever_brings_wrong_tokens_often_waits_and_passwords_do_not",
    ),
    (
        APPLICATION,
        "                    accounts.guessing.failed_vouched(address, now)\n",
        "                    pass\n",
        VOUCHED + "test_whoever_brings_wrong_tokens_often_waits_and_passwords_do_not",
    ),
    (
        APPLICATION,
        '            if error.code == "E-OIDC-TOKEN":\n',
        "            if error.code:\n",
        VOUCHED + "test_nobody_waits_for_what_another_site_or_the_provider_did",
    ),
    (
        GUESSING,
        '        self._note((_whose("vouched", address),), now)\n',
        '        self._note((_whose("vouched", address), _whose("address", address)), now)\n',
        VOUCHED + "test_whoever_brings_wrong_tokens_often_waits_and_passwords_do_not",
    ),
    (
        SESSIONS,
        " or over or not account.may_be_used(issuer=self._issuer):",
        " or over:",
        VOUCHED + "test_a_session_ends_where_another_provider_or_none_vouches_now",
    ),
    (
        OIDC + "kept.py",
        "            self._failed = (now, error)\n",
        "            pass\n",
        VOUCHED + "test_what_the_provider_just_failed_to_say_is_not_asked_again_at_once",
    ),
    (
        ACCOUNTS,
        ' WHERE issuer = ? AND subject = ?", issuer, subject',
        ' WHERE subject = ?", subject',
        VOUCHED + "test_an_account_is_of_one_provider_and_one_subject",
    ),
    (
        OIDC + "settings.py",
        '"@" not in parts.netloc',
        "True",
        VOUCHED + "test_a_provider_is_reached_by_tls_or_at_this_machine",
    ),
    (
        OIDC + "settings.py",
        '(parts.scheme == "http" and is_loopback(host))',
        'parts.scheme == "http"',
        VOUCHED + "test_a_provider_is_reached_by_tls_or_at_this_machine",
    ),
    # a password in the settings of traces, which errors and logs would repeat
    (
        "machine/traces.py",
        ' and "@" not in host',
        "",
        "test_traces.py::test_an_endpoint_names_no_user_and_no_password",
    ),
    # what traces and lines of JSON say
    (
        "machine/traces.py",
        "attributes={k: v if isinstance(v, int) else label(v) for k, v in attributes.items()},",
        "attributes={**attributes},",
        "test_traces.py::test_a_span_has_ids_codes_and_numbers_and_no_free_text",
    ),
    (
        "machine/traces.py",
        "    if unknown:\n",
        "    if False:\n",
        "test_traces.py::test_another_attribute_is_a_fault_of_the_program_also_while_nothing_is_sent",
    ),
    (
        "machine/traces.py",
        'resource=Resource({"service.name": service})',
        'resource=Resource.create({"service.name": service})',
        "test_traces.py::test_a_span_has_ids_codes_and_numbers_and_no_free_text",
    ),
    (
        LOGS,
        "{name: label(text) for name, text in told.items() if text}",
        "{name: text for name, text in told.items() if text}",
        LOGGED + "test_a_line_of_json_says_which_run_agreement_and_partner_it_is_about",
    ),
    # what a monitoring system is told
    (
        FAMILIES,
        "key = tuple(map(label, labels))",
        "key = labels",
        MEASURED + "test_a_label_that_is_no_id_and_no_code_is_not_told",
    ),
    (
        FAMILIES,
        "if key not in series and len(series) >= MOST_SERIES:",
        "if False:",
        MEASURED + "test_series_are_bounded_and_what_is_left_out_is_counted",
    ),
    (
        ENDPOINT,
        "threading.BoundedSemaphore(MOST_CONNECTIONS)",
        "threading.BoundedSemaphore(1_000)",
        MEASURED + "test_more_connections_than_there_is_room_for_are_closed",
    ),
    (
        ENDPOINT,
        "        cut.start()\n",
        "",
        MEASURED + "test_a_connection_that_lasts_is_cut",
    ),
    (
        ENDPOINT,
        "            if time.monotonic() - self._at >= FRESH_S:\n",
        "            if True:\n",
        MEASURED + "test_asking_often_measures_once",
    ),
    (
        ENDPOINT,
        'logger.warning("metrics: %s", type(error).__name__)',
        'logger.warning("metrics: %s", error)',
        MEASURED + "test_an_error_while_measuring_is_a_bare_status_and_only_its_kind_is_logged",
    ),
    (
        ENDPOINT,
        '    if settings is None:\n        yield ""\n        return\n',
        '    settings = settings or MetricsSettings(host="127.0.0.1", port=0)\n',
        MEASURED + "test_nothing_listens_unless_it_is_switched_on",
    ),
    # what opens a database
    (
        FILES,
        "os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC",
        "os.O_RDWR | os.O_CREAT | os.O_CLOEXEC",
        STORED + "test_opening_a_database_takes_no_lock_of_another_connection_away",
    ),
    (
        DATABASE,
        "            if path.stat().st_size == 0:\n",
        "            if not path.read_bytes():\n",
        STORED + "test_opening_a_database_takes_no_lock_of_another_connection_away",
    ),
    (
        DATABASE,
        "            if made_before and self._version() == 0:\n",
        "            if False:\n",
        STORED + "test_a_database_that_was_made_before_is_not_made_again",
    ),
    (
        DATABASE,
        "                self._refuse_retired(self._version())\n",
        "",
        STORED + "test_a_file_whose_content_was_moved_is_changed_by_nobody_any_more",
    ),
    # people's accounts
    (
        ACCOUNTS,
        "if number is None or not right:",
        "if number is None:",
        PROVED + "test_nothing_tells_whether_there_is_an_account",
    ),
    (
        ACCOUNTS,
        "WHERE id = ? AND last_step < ? RETURNING id",
        "WHERE id = ? AND ? IS NOT NULL RETURNING id",
        PROVED + "test_a_code_is_good_once_and_so_is_an_older_one",
    ),
    (
        ACCOUNTS,
        "        right = self._passwords.fits(password, kept)\n",
        "        right = kept is not None and self._passwords.fits(password, kept)\n",
        PROVED + "test_nothing_tells_whether_there_is_an_account",
    ),
    (
        ACCOUNTS,
        "self._seal.seal(secret.encode(), _context(account.id))",
        "secret.encode()",
        PROVED + "test_what_encrypts_secrets_is_asked_and_the_file_has_no_secret",
    ),
    (
        ACCOUNTS,
        '        self.database.ask("DELETE FROM sessions WHERE account = ?", account.id)\n',
        "        pass\n",
        PROVED + "test_a_session_ends_when_the_account_changes",
    ),
    (
        ACCOUNTS,
        '        ask("DELETE FROM recovery_codes WHERE account = ?", account.id)\n',
        "",
        PROVED + "test_after_a_reset_only_the_new_password_and_factor_prove",
    ),
    (
        PASSWORDS,
        "password) and kept is not None",
        "password)",
        PROVED + "test_nobodys_hash_lets_nobody_in",
    ),
    (
        PASSWORDS,
        "len(password) < MIN_CHARACTERS or ",
        "",
        PROVED + "test_a_password_that_is_too_short_or_too_long_is_refused",
    ),
    (
        SECOND_FACTOR,
        "_STEPS_OFF: Final = 1",
        "_STEPS_OFF: Final = 2",
        PROVED + "test_a_code_of_another_time_is_wrong",
    ),
    (
        GUESSING,
        'self._wait_s(_whose("name", name), FREE_OF_NAME, now)',
        "0",
        PROVED + "test_after_some_failures_the_waits_of_a_name_grow",
    ),
    (
        GUESSING,
        'self._wait_s(_whose("address", address), FREE_OF_ADDRESS, now)',
        "0",
        PROVED + "test_an_address_waits_whatever_names_it_tries",
    ),
    (
        GUESSING,
        "            _MOST_REMEMBERED,\n",
        "            1 << 40,\n",
        PROVED + "test_names_that_were_tried_are_not_remembered_without_end",
    ),
    (
        ACCOUNTS,
        "now_kept != (kept,) or ",
        "",
        PROVED + "test_a_password_that_is_set_anew_meanwhile_begins_no_session",
    ),
    (
        SESSIONS,
        " AND changed_at = ? RETURNING account",
        " AND ? != '' RETURNING account",
        PROVED + "test_an_account_that_changes_meanwhile_begins_no_session",
    ),
    (
        SESSIONS,
        "        with self._one:\n",
        "        if True:\n",
        PROVED + "test_many_guesses_at_once_are_as_limited_as_one_after_the_other",
    ),
    (
        SESSIONS,
        "now - begun >= LONGEST or ",
        "",
        PROVED + "test_a_session_ends_after_its_longest_time",
    ),
    (
        SESSIONS,
        " or now - last >= IDLE",
        "",
        PROVED + "test_a_session_ends_when_nothing_is_asked",
    ),
    (
        SESSIONS,
        "if seen and now",
        "if now",
        PROVED + "test_a_page_that_renews_itself_keeps_nobody_signed_in",
    ),
    (
        SESSIONS,
        'hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()',
        "token.encode()",
        PROVED + "test_password_and_code_begin_a_session",
    ),
    (
        ACTS,
        "            if chain != kept:\n",
        "            if False:\n",
        PROVED + "test_an_entry_that_was_changed_or_taken_out_is_noticed",
    ),
    (
        USER,
        'if getpass.getpass("Again: ") != first:',
        "if False:",
        MANAGED + "test_a_password_is_asked_for_twice_at_a_terminal_and_is_no_argument",
    ),
    # consoles
    (
        SHIELD,
        "len(hosts) != 1 or hosts[0] not in self._hosts",
        "len(hosts) != 1",
        BROWSED + "test_another_hosts_name_is_not_answered",
    ),
    (
        SHIELD,
        '[*message["headers"], *self._headers]',
        '[*message["headers"]]',
        BROWSED + "test_every_answer_has_the_headers_that_keep_others_out",
    ),
    (
        SHIELD,
        'shown(scope["path"])[:_LONGEST_PATH].replace("\\n", " ")',
        'shown(scope["path"])[:_LONGEST_PATH]',
        BROWSED + "test_logs_have_no_query_and_no_line_ends",
    ),
    (
        FORMS,
        "if not right or not ours",
        "if not ours",
        BROWSED + "test_a_form_of_another_site_does_nothing",
    ),
    (
        FORMS,
        "if not right or not ours",
        "if not right",
        BROWSED + "test_a_form_of_another_site_does_nothing",
    ),
    (
        FORMS,
        ' or site != "same-origin"',
        "",
        BROWSED + "test_a_form_of_another_site_does_nothing",
    ),
    (
        FORMS,
        "hmac.new(cookie.encode(), _LABEL, hashlib.sha256)",
        'hmac.new(b"", _LABEL, hashlib.sha256)',
        BROWSED + "test_a_token_is_of_one_session",
    ),
    (
        FORMS,
        "        if len(data) > MAX_BYTES:\n",
        "        if False:\n",
        BROWSED + "test_what_is_no_form_is_refused",
    ),
    (
        APPLICATION,
        "        refuse_strangers(request, form, request.cookies.get(self._visit))\n",
        "",
        BROWSED + "test_nobody_is_signed_in_by_another_sites_form",
    ),
    (
        APPLICATION,
        "            refuse_strangers(request, form, request.cookies.get(self._cookie))\n",
        "",
        BROWSED + "test_a_form_of_another_site_does_nothing",
    ),
    (
        APPLICATION,
        "        refuse_strangers(request, await read_form(request), token)\n",
        "",
        BROWSED + "test_a_form_of_another_site_does_nothing",
    ),
    (
        APPLICATION,
        "        if not may(session.account.role, what.permission):\n",
        "        if False:\n",
        BROWSED + "test_a_role_that_may_not_is_told_so",
    ),
    (
        APPLICATION,
        '        await run_in_threadpool(self._sessions.end, token or "")\n',
        "",
        BROWSED + "test_signing_out_ends_the_session",
    ),
    (
        APPLICATION,
        'httponly=True, samesite="strict"',
        'httponly=False, samesite="strict"',
        BROWSED + "test_the_cookie_is_for_this_site_alone_and_no_script_reads_it",
    ),
    (
        APPLICATION,
        'samesite="strict"',
        'samesite="none"',
        BROWSED + "test_the_cookie_is_for_this_site_alone_and_no_script_reads_it",
    ),
    (
        APPLICATION,
        "seen=not by_itself",
        "seen=True",
        BROWSED + "test_a_page_that_renews_itself_does_not_keep_a_session",
    ),
    (
        WRITING,
        "autoescape=True",
        "autoescape=False",
        BROWSED + "test_what_others_wrote_is_text",
    ),
    (
        SERVING,
        "server_header=False",
        "server_header=True",
        BROWSED + "test_a_console_answers_at_its_port_until_it_is_stopped",
    ),
    (
        SERVING,
        "proxy_headers=False",
        "proxy_headers=True",
        BROWSED + "test_nobody_chooses_the_address_that_attempts_count_for",
    ),
    # backups
    (
        BACKUPS,
        "        if hashlib.sha256(contents[part.role]).hexdigest() != part.sha256:\n",
        "        if False:\n",
        BACKED_UP + "test_a_backup_that_was_cut_anywhere_or_has_a_wrong_byte_is_refused",
    ),
    (
        BACKUPS,
        "    if os.path.lexists(out):\n",
        "    if out.exists():\n",
        BACKED_UP + "test_a_backup_is_never_written_over_a_file_or_a_link",
    ),
    (
        BACKUPS,
        "if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):",
        "if False:",
        BACKED_UP + "test_nothing_is_restored_over_what_is_there",
    ),
    (
        BACKUPS,
        "        if path.read_bytes() != data:\n",
        "        if False:\n",
        BACKED_UP + "test_a_part_that_stood_outside_is_put_back_there_and_over_nothing_else",
    ),
    (
        BACKUPS,
        "        if not elsewhere:\n",
        "        if False:\n",
        BACKED_UP + "test_a_backup_does_not_say_which_files_outside_the_folder_are_written",
    ),
    (
        BACKUPS,
        "if not path.resolve().is_relative_to(inside)]",
        "if not path.is_relative_to(folder)]",
        BACKED_UP + "test_a_backup_does_not_say_which_files_outside_the_folder_are_written",
    ),
    (
        BACKUPS,
        "        check(copy)\n",
        "",
        BACKED_UP + "test_a_state_that_cannot_be_used_leaves_no_folder",
    ),
    (
        BACKUPS,
        "with replacing(out, mode=0o600, is_new=True) as draft:",
        "with replacing(out) as draft:",
        BACKED_UP + "test_what_is_put_back_is_what_was_backed_up_and_private",
    ),
    (
        BACKUPS,
        "            shutil.rmtree(draft)\n        draft.mkdir",
        "            pass\n        draft.mkdir",
        BACKED_UP + "test_restoring_that_is_killed_leaves_no_half_folder_and_the_next_one_works",
    ),
    # logs
    (
        LOGS,
        "if 0 <= record.created - at < _ONCE_IN_S:",
        "if record.created - at < _ONCE_IN_S:",
        LOGGED + "test_a_clock_that_was_set_back_keeps_no_line_out",
    ),
    (
        LOGS,
        "if self.stream is not None and not self._is_named(self.stream):",
        "if False:",
        LOGGED + "test_who_did_not_rename_the_full_file_writes_into_the_new_one_too",
    ),
    # files
    (
        FILES,
        "            os.fsync(descriptor)\n            (_name_new",
        "            (_name_new",
        WRITTEN + "test_what_is_written_is_synced_before_it_has_its_name_and_the_name_after",
    ),
    (
        FILES,
        "os.replace)(draft, path)\n            sync_folder(path.parent)\n",
        "os.replace)(draft, path)\n",
        WRITTEN + "test_what_is_written_is_synced_before_it_has_its_name_and_the_name_after",
    ),
    (
        FILES,
        "(_name_new if is_new else os.replace)(draft, path)",
        "os.replace(draft, path)",
        WRITTEN + "test_a_new_file_takes_no_other_s_place_nor_what_appeared_meanwhile",
    ),
    (
        FILES,
        "        os.link(draft, path)  # unlike a rename, this refuses to replace a file\n",
        "        draft.replace(path)\n",
        WRITTEN + "test_a_file_that_is_made_once_is_never_replaced",
    ),
    (
        FILES,
        "fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)\n            draft.unlink()",
        "draft.unlink()",
        WRITTEN + "test_a_draft_of_a_living_process_is_left_alone",
    ),
    (
        FILES,
        "    if named is None:\n        _sweep(path)\n",
        "",
        WRITTEN + "test_a_file_that_is_replaced_is_old_or_new_wherever_the_process_is_killed",
    ),
    (
        FILES,
        "            if os.fstat(descriptor).st_nlink:",
        "            if True:",
        WRITTEN + "test_a_draft_swept_before_it_was_locked_is_made_again",
    ),
    (
        FILES,
        "        left = left[os.write(descriptor, left) :]",
        "        os.write(descriptor, left[: len(left) // 2])\n        left = left[len(left) :]",
        WRITTEN + "test_a_new_file_is_there_whole_or_not_at_all",
    ),
    (
        FILES,
        "os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC",
        "os.O_RDONLY | os.O_CLOEXEC",
        WRITTEN + "test_a_pipe_is_opened_without_waiting_for_who_writes_into_it",
    ),
    # locks
    (
        LOCKS,
        "        return False\n",
        "        return True\n",
        "test_locks.py::test_a_lock_is_free_again_after_its_block_and_not_within_it",
    ),
    # databases
    (
        DATABASE,
        '"PRAGMA secure_delete = ON"',
        '"PRAGMA secure_delete = OFF"',
        STORED + "test_what_is_committed_is_synced_and_what_is_deleted_overwritten",
    ),
    (
        DATABASE,
        '                self.ask("PRAGMA wal_checkpoint(TRUNCATE)")\n',
        "                pass\n",
        STORED + "test_what_is_wiped_is_in_no_file_of_the_database",
    ),
    (
        DATABASE,
        "            if version > len(migrations):",
        "            if False:",
        STORED + "test_an_earlier_versions_file_is_brought_up_to_date_and_keeps_its_rows",
    ),
    # software
    (
        SOFTWARE,
        "        if strangers:",
        "        if False:",
        "test_software.py::test_an_environment_where_somebody_else_ships_our_package_is_refused",
    ),
    (
        FILES,
        "os.open(path.name, flags, 0o600, dir_fd=folder)",
        "os.open(path.name, flags, 0o666, dir_fd=folder)",
        STORED + "test_no_other_user_can_read_a_file_of_the_database_whatever_folder_it_is_in",
    ),
]
