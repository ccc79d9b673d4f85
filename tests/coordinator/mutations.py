"""Guards taken out one at a time, each with a test that has to notice.

A mutation is `(file, text, replacement, test)`: the text occurs once in the file.
"""

from __future__ import annotations

DRIVER = "coordinator/runs/driver.py"
SERVING = "coordinator/service/serving.py"
RUNNING_TIME = "coordinator/runs/running_time.py"
FAREWELLS = "coordinator/runs/farewells.py"
DATABASE = "machine/database.py"
STORE = "coordinator/store/coordinator_store.py"
GATEWAY = "coordinator/service/gateway.py"
FRONT = "coordinator/front/front.py"
RELAY = "coordinator/front/relay.py"
LISTENING = "coordinator/front/listening.py"
ASKED = "coordinator/service/asked_messages.py"
SUPERLINK = "coordinator/service/superlink_process.py"
PLACE = "coordinator/store/postgresql/place.py"
SERVER = "coordinator/store/postgresql/database.py"
SESSION = "coordinator/store/postgresql/connection.py"
MAKING = "coordinator/store/postgresql/making.py"
LEASE = "coordinator/store/postgresql/lease.py"
MOVING = "coordinator/moving.py"
STANDSTILL = "coordinator/runs/standstill.py"
CONTENT = "coordinator/store/content.py"

RENEWING = "coordinator/control/renewing.py"

RENEWED = "test_renewing.py::"
SERVED = "test_service.py::"
DRIVEN = "test_run_driver.py::"
STORED = "test_coordinator_store.py::"
FOLLOWING = "test_following_runs.py::"
PORT = "test_gateway.py::"
PLACES = "test_front.py::"
REPLIES = "test_asked_messages.py::"
STARTED = "test_superlink_process.py::"
LEFT_BEHIND = "test_started_runs.py::"
SET = "test_store_settings.py::"
ON_SERVER = "test_postgresql_store.py::"
MOVED = "test_moving.py::"
SCHEDULER = "coordinator/runs/scheduling.py"
SCHEDULED = "coordinator/store/scheduled_runs.py"
DUE = "coordinator/runs/due.py"
IN_FORCE = "coordinator/runs/in_force.py"
TIMELY = "test_schedule.py::"

CONSOLE_SECTION = "coordinator/console_section.py"
CONSOLE_ACTS = "coordinator/console/acts.py"
CONSOLE_PAGES = "coordinator/console/pages.py"
CONSOLE_SITE = "coordinator/console/site.py"
RUN_ACTS = "coordinator/acts/runs.py"
PARTNER_ACTS = "coordinator/acts/partners.py"
SCHEDULE_ACTS = "coordinator/acts/schedule.py"
CONSOLE = "test_console.py::"
ACCESS = "test_access.py::"

MUTATIONS: list[tuple[str, str, str, str]] = [
    # what is said of logs
    (
        "coordinator/runs/relay.py",
        "if partner is None or node not in self._reading:",
        "if partner is None:",
        "test_relay.py::test_it_goes_to_nodes_that_sent_some_and_to_no_others",
    ),
    (
        "coordinator/runs/relay.py",
        "        except MalformedError as error:\n",
        "        except StoreError as error:\n",
        "test_relay.py::test_what_has_another_form_is_passed_over",
    ),
    (
        "coordinator/runs/flower_exchange.py",
        "    if not isinstance(beside, bytes) or len(beside) > MAX_BESIDE_BYTES:\n"
        "        return malformed\n",
        '    if not isinstance(beside, bytes):\n        beside = b""\n',
        "test_flower_exchange.py::test_an_answer_of_a_wrong_form_is_malformed",
    ),
    (
        "coordinator/service/superlink_layers.py",
        'is_past = scope["type"] == "http" and scope["path"].startswith(self._nothing_for)',
        'is_past = scope["type"] == "http"',
        "test_superlink_layers.py::test_a_call_goes_through_the_layers_that_are_for_it",
    ),
    # keys that were handed over
    (
        "partner_node/node.py",
        "            self._take_up_keys(request)\n",
        "",
        "test_runs_under_new_keys.py::test_the_others_take_a_new_key_up_with_the_next_run",
    ),
    (
        "partner_node/node.py",
        "            return open_request(message, coordinator_key=told.keys.coordinator)",
        "            return opened",
        "test_runs_under_new_keys.py::test_a_coordinator_that_signs_with_a_key_of_its_own_is_not_followed",
    ),
    (
        "coordinator/runs/life.py",
        "                if stored > before:\n",
        "                if False:\n",
        "test_runs.py::test_pauses_begin_anew_once_the_run_has_gone_on",
    ),
    (
        RENEWING,
        "    with changing_keys(config, wait_s=_OTHERS_END_S):\n",
        "    with changing_keys(config):\n",
        "test_renewing.py::test_a_service_that_starts_waits_for_a_command_that_changes_keys",
    ),
    (
        RENEWING,
        "        check_in_force(config, store)\n",
        "",
        "test_rotating.py::test_a_folder_with_a_key_that_was_handed_over_serves_nothing",
    ),
    (
        "coordinator/control/taking_hand_overs.py",
        '        if error.code == "E-KEY-FORK":\n',
        "        if False:\n",
        "test_rotating.py::test_a_partners_hand_over_is_taken_as_a_file_and_the_next_version_has_"
        "the_new_key",
    ),
    (
        "coordinator/backup.py",
        "        check_passphrase_settled(config)\n",
        "",
        "test_rotating.py::test_no_backup_is_made_while_the_passphrase_is_changed",
    ),
    (
        "coordinator/backup.py",
        "    with changing_keys(config):  # else a new key may stand there without its hand-over\n"
        "        check_passphrase_settled(config)\n",
        "    check_passphrase_settled(config)\n    with changing_keys(config):\n",
        "test_rotating.py::test_no_backup_is_made_where_a_change_of_the_passphrase_was_killed_while_"
        "it_waited",
    ),
    (
        "coordinator/shown/diligence.py",
        '{"holds": not over and not strange}',
        '{"holds": not over}',
        CONSOLE + "test_a_record_of_another_key_does_not_hold",
    ),
    (
        "coordinator/console/pages.py",
        'known.latest_of(self._key, partner="")',
        "self._key",
        CONSOLE + "test_keys_that_were_handed_over_are_on_every_page_that_they_concern",
    ),
    # the console, and what people do there or by commands
    (
        CONSOLE_SECTION,
        "    _refuse(oidc, found.problem())\n",
        "",
        CONSOLE + "test_an_identity_provider_is_reached_by_tls",
    ),
    (
        CONSOLE_SECTION,
        "    oidc.finish()\n",
        "",
        CONSOLE + "test_an_identity_provider_is_reached_by_tls",
    ),
    (
        CONSOLE_SECTION,
        "    _refuse(section, found.problem())\n",
        "",
        CONSOLE + "test_the_console_is_on_this_machine_alone_unless_there_is_a_certificate",
    ),
    (
        CONSOLE_ACTS,
        "    if not text:",
        "    if False:",
        CONSOLE + "test_a_partner_is_admitted_by_its_code_and_removed_by_its_name",
    ),
    (
        CONSOLE_PAGES,
        "        if not _HEX.fullmatch(text):",
        "        if False:",
        CONSOLE + "test_whatever_is_not_there_is_not_found",
    ),
    (
        CONSOLE_SITE,
        'path="/partners/admit", title="Admit a partner", name="partner admit",\n'
        "            permission=_P.CHANGE_PARTNERS,",
        'path="/partners/admit", title="Admit a partner", name="partner admit",\n'
        "            permission=_P.READ_PARTNERS,",
        ACCESS + "test_each_act_is_done_for_whom_the_table_says",
    ),
    (
        RUN_ACTS,
        "    if row.ended:",
        "    if False:",
        CONSOLE + "test_a_run_is_started_and_stopped_by_whoever_may",
    ),
    (
        RUN_ACTS,
        "    check_parties(chosen, without)\n",
        "",
        CONSOLE + "test_partners_are_left_out_by_their_ids",
    ),
    (
        PARTNER_ACTS,
        "        _check_party(card, published)\n",
        "",
        "test_coordinator_cli.py::test_a_strangers_card_does_not_take_a_working_partners_place",
    ),
    (
        SCHEDULE_ACTS,
        "    if len(chosen) != 1:",
        "    if not chosen:",
        "test_schedule_cli.py::test_one_of_several_schedules_is_named",
    ),
    # keys that are replaced
    (
        "coordinator/backup.py",
        "    with changing_keys(config):",
        "    if True:",
        "test_rotating.py::test_a_backup_has_the_key_in_force_and_its_hand_over",
    ),
    (
        "coordinator/backup.py",
        "            finish(config, store)\n",
        "            pass\n",
        "test_rotating.py::test_a_backup_has_the_key_in_force_and_its_hand_over",
    ),
    (
        "coordinator/cli/keys.py",
        "        check_writable(out)  # before the old key is erased\n",
        "        pass\n",
        "test_rotating.py::test_a_place_where_nothing_can_be_written_is_refused_before_the_key_is_"
        "replaced",
    ),
    (
        "coordinator/control/rotating.py",
        "        _check_no_run(store)\n",
        "",
        "test_rotating.py::test_the_key_is_not_replaced_while_a_process_serves_or_a_run_goes_on",
    ),
    (
        "coordinator/control/rotating.py",
        "    if one.new_key != public_bytes(config.signing_key()):\n        return None\n",
        "",
        "test_rotating.py::test_switched_off_at_any_step_one_key_is_in_force_and_what_was_begun_is_"
        "ended",
    ),
    (
        "coordinator/control/rotating.py",
        "            remove_private_file(left)\n",
        "            pass\n",
        "test_rotating.py::test_switched_off_at_any_step_one_key_is_in_force_and_what_was_begun_is_"
        "ended",
    ),
    (
        "coordinator/control/rotating.py",
        "        check_in_force(config, store)\n",
        "",
        "test_rotating.py::test_a_folder_with_a_key_that_was_handed_over_replaces_none",
    ),
    (
        "coordinator/control/rotating.py",
        "        check_hand_over(store, one, own_key=one.old_key)\n",
        "",
        "test_rotating.py::test_a_hand_over_that_would_not_be_taken_replaces_no_key",
    ),
    (
        "coordinator/store/coordinator_store.py",
        'return agreement.with_hand_overs(HandOvers.from_bytes(bytes(row[1] or b"")))',
        "return agreement",
        "test_runs_under_new_keys.py::test_a_run_that_was_begun_keeps_its_keys",
    ),
    (
        "coordinator/control/passphrase.py",
        '        write_file(next_of(file), new + b"\\n", mode=0o600)\n',
        "        pass\n",
        "test_rotating.py::test_switched_off_at_any_step_every_key_opens_and_the_same_command_goes_"
        "on",
    ),
    (
        "coordinator/control/passphrase.py",
        "if begun != new:",
        "if False:",
        "test_rotating.py::test_killed_twice_with_two_passphrases_every_key_opens_with_one_that_is_"
        "kept",
    ),
    (
        "coordinator/control/passphrase.py",
        "    with changing_keys(config):\n",
        "    if True:\n",
        "test_rotating.py::test_one_process_at_a_time_changes_keys",
    ),
    (
        "coordinator/control/rotating.py",
        "        changing_keys(config),\n",
        "",
        "test_rotating.py::test_one_process_at_a_time_changes_keys",
    ),
    # the chain outlives a failed run
    (
        DRIVER,
        "        self._store.append_input(self._machine.run_id, kind, data, self._machine.chain)\n",
        "        if kind == CLOSED:\n"
        "            self._store.append_input(\n"
        "                self._machine.run_id, kind, data, self._machine.chain\n"
        "            )\n",
        DRIVEN
        + "test_a_set_that_nodes_signed_is_known_to_the_next_run_although_no_answer_came_back",
    ),
    # who is not ready
    (
        "coordinator/acts/runs.py",
        "check_enough_ready(chosen, parties_readiness(store, chosen,",
        "check_enough_ready(chosen, () and parties_readiness(store, chosen,",
        "test_unready.py::test_a_run_for_which_too_few_are_ready_is_refused_in_plan_and_start_alike",
    ),
    (
        "coordinator/control/unready.py",
        "if not held_up or left >=",
        "if left >=",
        "test_unready.py::test_whoever_is_left_out_is_not_waited_for",
    ),
    # the release from which the next run starts
    (
        DRIVER,
        "            if machine.release is not None:\n",
        "            if False:\n",
        FOLLOWING
        + "test_a_run_that_is_ended_while_its_release_is_handed_out_is_followed_all_the_same",
    ),
    (
        STORE,
        ' AND run_id <> ?"\n            " ORDER BY number DESC LIMIT 1"',
        ' AND ? <> 0"\n            " ORDER BY number DESC LIMIT 1"',
        FOLLOWING + "test_a_run_that_is_killed_at_any_message_goes_on_from_the_same_release",
    ),
    # answers that count, and that do not
    (
        FAREWELLS,
        "        return Ack.from_bytes(message).partner == partner",
        "        return Ack.from_bytes(message).partner >= 0",
        DRIVEN + "test_an_acknowledgement_in_the_name_of_another_partner_is_no_farewell",
    ),
    (
        DRIVER,
        "_COPIES_KEPT: Final = 7",
        "_COPIES_KEPT: Final = 1",
        DRIVEN + "test_an_answer_that_took_longer_than_the_time_to_resend_counts",
    ),
    (
        DRIVER,
        "_COPIES_KEPT: Final = 7",
        "_COPIES_KEPT: Final = 6",
        DRIVEN + "test_an_answer_that_took_longer_than_the_time_to_resend_counts",
    ),
    (
        DRIVER,
        "self._clock = RunningTime(clock)",
        "self._clock = clock",
        DRIVEN + "test_a_pause_of_the_coordinator_is_held_against_no_partner",
    ),
    (
        RUNNING_TIME,
        "self._ran_s += min(step_s, LONGEST_STEP_S)",
        "self._ran_s += step_s if step_s <= LONGEST_STEP_S else 0",
        DRIVEN + "test_pauses_between_turns_give_a_partner_that_is_away_no_endless_time",
    ),
    (
        SERVING,
        "lambda: RunningTime(time.monotonic)",
        "lambda: (lambda began: lambda: time.monotonic() - began)(time.monotonic())",
        SERVED + "test_a_pause_of_the_coordinator_is_not_held_against_a_driver_that_starts",
    ),
    # what is on disk
    (
        DATABASE,
        '"PRAGMA synchronous = FULL"',
        '"PRAGMA synchronous = OFF"',
        STORED + "test_a_commit_is_on_the_disk_when_it_returns_and_not_only_handed_to_the_system",
    ),
    (
        STORE,
        "(SignedAgreement.from_bytes(row[0], kept=True) for row in rows)",
        "(SignedAgreement.from_bytes(row[0]) for row in rows)",
        STORED + "test_an_agreement_kept_by_an_earlier_version_stays_readable",
    ),
    (
        STORE,
        "SignedAgreement.from_bytes(row[0], kept=True).verify()",
        "SignedAgreement.from_bytes(row[0]).verify()",
        STORED + "test_an_agreement_kept_by_an_earlier_version_stays_readable",
    ),
    # the public port
    (
        GATEWAY,
        "tokens = min(self._config.burst, tokens + (now - last) * self._config.requests_per_s)",
        "tokens = tokens + (now - last) * self._config.requests_per_s",
        PORT + "test_however_long_a_client_was_quiet_no_more_than_the_burst_comes_at_once",
    ),
    (
        GATEWAY,
        "self._buckets.popitem(last=False)",
        "self._buckets.popitem(last=True)",
        PORT + "test_of_too_many_clients_the_one_that_asked_longest_ago_is_forgotten",
    ),
    (
        FRONT,
        "address=counted_as(str(peer[0]))",
        "address=str(peer[0])",
        PLACES + "test_callers_in_one_ipv6_network_are_counted_as_one",
    ),
    (
        LISTENING,
        "ipaddress.ip_network((address, 64), strict=False)",
        "ipaddress.ip_network((address, 128), strict=False)",
        PLACES + "test_callers_in_one_ipv6_network_are_counted_as_one",
    ),
    (
        GATEWAY,
        '        "get-run",\n',
        '        "get-run",\n        "pull-object",\n',
        PORT + "test_the_allow_list_is_exactly_what_a_node_calls",
    ),
    (
        GATEWAY,
        "if request.target not in ALLOWED_PATHS:",
        "if False:",
        PORT + "test_a_path_that_only_looks_like_an_allowed_one_is_refused",
    ),
    (
        GATEWAY,
        "if request.target == _PUSH and (status",
        "if False and (status",
        PORT + "test_of_messages_only_a_reply_to_what_the_node_was_handed_passes",
    ),
    (
        "coordinator/service/gateway.py",
        "return most if request.target == _PUSH else min(most, _MOST_ASKING_BYTES)",
        "return most",
        PORT + "test_only_replies_may_be_large",
    ),
    (
        "coordinator/service/asked_messages.py",
        "        if not has_at_most(_MOST_FIELDS, body, PushMessagesRequest.DESCRIPTOR):\n",
        "        if False:\n",
        REPLIES + "test_what_makes_objects_without_number_is_refused_before_they_are_made",
    ),
    (
        "coordinator/service/message_fields.py",
        "                        waiting.append((at, at + size, field.message_type))\n",
        "                        pass\n",
        REPLIES + "test_what_makes_objects_without_number_is_refused_before_they_are_made",
    ),
    (
        ASKED,
        "if asked is None or not asked.node == about.src_node_id == request.node.node_id:",
        "if asked is None:",
        REPLIES + "test_what_nobody_asked_for_is_refused",
    ),
    (
        ASKED,
        "if tree.object_id != about.message_id or tree.children:",
        "if tree.object_id != about.message_id:",
        REPLIES + "test_what_is_no_single_reply_without_objects_is_refused",
    ),
    (
        ASKED,
        '        if asked.reply not in (b"", digest):\n            return 409\n',
        "",
        REPLIES + "test_a_second_answer_to_one_message_is_refused",
    ),
    (
        ASKED,
        "            while len(messages) > MESSAGES_KEPT:\n",
        "            while len(messages) > MESSAGES_KEPT + 1:\n",
        REPLIES + "test_only_the_newest_messages_of_a_run_can_be_answered",
    ),
    (
        DRIVER,
        "ttl_s=min(self._patience.grace_s, looked_for_s)",
        "ttl_s=self._patience.grace_s",
        DRIVEN + "test_no_message_lives_longer_than_its_answer_is_looked_for",
    ),
    (
        GATEWAY,
        "    except InvalidSignature:\n        return None\n    return signed\n",
        "    except InvalidSignature:\n        pass\n    return signed\n",
        PORT + "test_the_head_of_one_call_is_good_for_no_other",
    ),
    (
        GATEWAY,
        " or not self._heard.is_new(key, call, now_s=now_s):\n",
        ":\n",
        PORT + "test_a_call_that_is_sent_again_as_it_is_is_heard_once",
    ),
    (
        GATEWAY,
        "            if self._heard.is_full(key, now_s=now_s):",
        "            if False:",
        PORT + "test_of_one_key_no_more_calls_are_heard_than_are_remembered",
    ),
    # what is said of refusals
    (
        GATEWAY,
        "same = who if caller.admitted else caller.address",
        "same = who",
        PORT + "test_a_caller_that_invents_keys_is_one_line_in_the_log",
    ),
    (
        GATEWAY,
        "            raise _NoAnswerError from None\n",
        "            raise _RefusedError(503) from None\n",
        PORT + "test_calls_while_the_superlink_is_started_again_are_one_line_in_the_log",
    ),
    # state
    (
        STORE,
        "            if run.agreement_hash == agreement.hash:\n",
        "            if False:\n",
        STORED + "test_one_run_at_a_time_under_an_agreement",
    ),
    # which code runs as the coordinator
    (
        "coordinator/service/driver_process.py",
        "    telemetry.create_event = _nothing_told\n",
        "",
        "test_driver_process.py::test_flower_puts_no_telemetry_together_in_a_driver",
    ),
    (
        SUPERLINK,
        "            runs.forget(states.state())\n",
        "",
        LEFT_BEHIND + "test_the_thread_that_starts_drivers_forgets_as_well",
    ),
    (
        "coordinator/service/started_runs.py",
        "now - ended >= _WAITS_S or not state.get_message_ids_from_run_id(run)",
        "ended >= 0",
        LEFT_BEHIND + "test_a_message_that_a_node_did_not_fetch_waits_for_it_and_not_for_ever",
    ),
    (
        SUPERLINK,
        "acquired.token and acquired.task.fab_hash in bundles",
        "acquired.token",
        STARTED + "test_no_driver_is_started_for_another_bundle_and_its_run_is_over",
    ),
    (
        SUPERLINK,
        "            if not drivers.await_tokens():\n",
        "            if drivers.await_tokens() is None:\n",
        STARTED + "test_no_task_is_acquired_before_what_starts_drivers_awaits_it",
    ),
    (
        SUPERLINK,
        "            return self._is_ready.is_set()\n",
        "            return True\n",
        STARTED + "test_it_awaits_tokens_once_it_says_so_and_whoever_waits_for_that_is_told",
    ),
    (
        SUPERLINK,
        "supported_task_types=[TaskType.SERVER_APP]",
        "supported_task_types=list(TaskType)",
        STARTED + "test_nothing_but_a_serverapp_is_started",
    ),
    (
        SUPERLINK,
        'self._process.stdin.write(f"{token}\\n".encode("ascii"))',
        "subprocess.Popen([*self._command, token])",
        STARTED + "test_a_driver_is_started_for_a_known_bundle_and_its_token_is_in_no_argument",
    ),
    (
        SUPERLINK,
        "        os._exit(1)  # the coordinator starts it all again\n",
        "        return\n",
        STARTED + "test_the_process_ends_when_no_driver_can_be_started_any_more",
    ),
    # places at the public ports
    (
        FRONT,
        "        if len(same) >= self._limits.strangers_per_address:",
        "        if False:",
        PLACES + "test_an_address_with_too_many_strangers_displaces_its_own_oldest",
    ),
    (
        FRONT,
        "        elif self._n_places >= self._most and not self._make_room():",
        "        elif False:",
        PLACES + "test_nobody_is_let_in_where_members_have_all_places",
    ),
    (
        FRONT,
        "max(self._strangers.values(), key=len, default=None)",
        "next(iter(self._strangers.values()), None)",
        PLACES + "test_where_there_is_no_place_the_address_with_most_strangers_gives_one_up",
    ),
    (
        FRONT,
        "        if len(ours) > self._limits.per_member:",
        "        if False:",
        PLACES + "test_a_member_keeps_only_its_newest_connections",
    ),
    (
        FRONT,
        "        connection._time = asyncio.get_running_loop().call_later(\n"
        "            self._limits.stranger_s, self._leave, connection\n"
        "        )\n",
        "",
        PLACES + "test_whoever_stays_a_stranger_leaves",
    ),
    (
        RELAY,
        "        if not more or not read.startswith(_HANDSHAKE[: len(read)]):",
        "        if not more:",
        PLACES + "test_what_does_not_begin_as_tls_does_is_cut_off_and_reaches_no_server",
    ),
    (
        RELAY,
        "            self._front.is_nobodys(connection)",
        "            pass",
        PLACES + "test_the_server_says_by_name_whose_a_connection_is",
    ),
    (
        GATEWAY,
        "        self.front.is_of(caller.connection, digest.hex())\n",
        "",
        PORT + "test_a_node_is_no_stranger_from_its_first_signed_call_on",
    ),
    # where the state is: no password in clear, no connection that anybody may read or take over
    (
        PLACE,
        "        if read.password is not None or",
        "        if",
        SET + "test_a_url_that_may_not_be_so_is_refused_and_not_repeated",
    ),
    (
        PLACE,
        'read.password is not None or "password" in names:',
        "read.password is not None:",
        SET + "test_a_url_that_may_not_be_so_is_refused_and_not_repeated",
    ),
    (
        PLACE,
        "            if name not in _OPTIONS or names.count(name) > 1:\n",
        "            if names.count(name) > 1:\n",
        SET + "test_a_url_that_may_not_be_so_is_refused_and_not_repeated",
    ),
    (
        PLACE,
        "not all(map(is_this_machine, self._hosts()))",
        "not any(map(is_this_machine, self._hosts()))",
        SET + "test_a_url_that_may_not_be_so_is_refused_and_not_repeated",
    ),
    (
        PLACE,
        '        if mode == "disable" and',
        "        if False and",
        SET + "test_a_url_that_may_not_be_so_is_refused_and_not_repeated",
    ),
    (
        PLACE,
        '"disable" if self._is_socket() else "verify-full")',
        '"disable" if self._is_socket() else "require")',
        SET + "test_the_certificate_is_verified_with_the_systems_authorities_unless_the_url_says_"
        "otherwise",
    ),
    (
        PLACE,
        '        set_here.setdefault("options", "")  # not those of the environment\n',
        "",
        SET + "test_options_of_the_environment_are_not_taken",
    ),
    # a state on a server: durable, one change at a time, one coordinator, one process that serves
    (
        SESSION,
        "    SET default_transaction_read_only = on;\n",
        "",
        ON_SERVER + "test_nothing_is_changed_outside_a_transaction",
    ),
    (
        SESSION,
        "IN ('off', 'local')",
        "IN ('local')",
        ON_SERVER + "test_a_commit_is_on_the_servers_disk_whatever_the_account_is_set_to",
    ),
    (
        SERVER,
        '            self._run("LOCK TABLE fedseg_store IN EXCLUSIVE MODE")\n',
        "",
        ON_SERVER + "test_of_two_connections_that_ask_for_a_run_at_once_one_gets_it",
    ),
    (
        SERVER,
        "        self._settle(number)\n",
        "        return\n",
        ON_SERVER + "test_a_change_whose_commit_did_not_arrive_is_said_not_to_be_made",
    ),
    (
        SERVER,
        '            if status == "committed":\n',
        "            if False:\n",
        ON_SERVER + "test_a_change_that_was_committed_but_not_answered_is_made_once",
    ),
    (
        SERVER,
        '            if ended.statusmessage != "COMMIT":\n',
        "            if False:\n",
        ON_SERVER + "test_a_change_after_an_error_that_was_passed_over_is_said_to_be_lost",
    ),
    (
        SERVER,
        "        if coordinator != self._coordinator:\n",
        "        if False:\n",
        ON_SERVER + "test_the_state_of_another_coordinator_is_not_opened",
    ),
    (
        SERVER,
        "        if version > len(MIGRATIONS):\n",
        "        if False:\n",
        ON_SERVER + "test_the_state_of_a_newer_version_is_refused",
    ),
    (
        SERVER,
        '            self._connection.execute("VACUUM inputs")\n',
        "            pass\n",
        ON_SERVER + "test_masked_messages_of_an_ended_run_are_cleared_from_the_servers_tables",
    ),
    (
        SERVER,
        '"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"',
        '"BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY"',
        MOVED + "test_a_backup_is_one_moment_while_others_write",
    ),
    (
        MAKING,
        "    if head is not None and not head[2]:\n",
        "    if head is not None:\n",
        ON_SERVER + "test_what_was_made_and_never_opened_is_made_anew_and_what_was_opened_never",
    ),
    (
        LEASE,
        "        if row != (True,):\n",
        "        if False:\n",
        ON_SERVER + "test_one_process_alone_serves_a_database",
    ),
    # a state that is moved
    (
        MOVING,
        "        database.retire()\n",
        "",
        MOVED + "test_a_command_that_had_the_file_open_when_it_was_moved_changes_nothing_there",
    ),
    (
        STANDSTILL,
        "        if not free:\n",
        "        if False:\n",
        MOVED + "test_a_state_is_not_moved_while_it_is_served_or_a_run_is_driven",
    ),
    (
        STANDSTILL,
        "            lease.hold()\n",
        "            pass\n",
        MOVED + "test_a_state_is_not_moved_from_a_server_while_another_machine_serves_it",
    ),
    (
        MOVING,
        "    if file.exists() and not (draft.exists() and draft.samefile(file)):\n",
        "    if False:\n",
        MOVED + "test_nothing_is_moved_over_an_earlier_state",
    ),
    (
        CONTENT,
        "    if content_of(target) != content_of(source):\n",
        "    if False:\n",
        SET + "test_a_copy_that_does_not_read_as_its_source_is_refused",
    ),
    # runs by a schedule
    (
        SCHEDULED,
        "if row is None or row.run_id != run_id:",
        "if False:",
        TIMELY + "test_a_moment_has_one_run_whoever_else_starts_one",
    ),
    (
        SCHEDULED,
        "self._store.request_run(run_id, agreement, alongside=note)",
        "self._store.request_run(run_id, agreement)\n        note()",
        TIMELY + "test_killed_before_any_statement_the_moment_has_one_run_in_the_end",
    ),
    (
        SCHEDULER,
        "if moment is None or now >= moment.until:",
        "if moment is None:",
        TIMELY + "test_a_restart_within_the_window_starts_it_and_one_after_it_does_not",
    ),
    (
        SCHEDULER,
        "            if self.store.stops_of(agreement.hash):\n",
        "            if False:\n",
        TIMELY + "test_an_agreement_that_was_stopped_has_no_moments_any_more",
    ),
    (
        SCHEDULER,
        "        if changes and changes[-1].paused:\n",
        "        if False:\n",
        TIMELY + "test_a_pause_is_on_record_with_its_reason_and_ends",
    ),
    (
        SCHEDULER,
        "            agreement.check_clock(now, latest=scheduled.latest(agreement))\n",
        "",
        TIMELY + "test_a_clock_that_was_set_back_starts_nothing_again_or_late",
    ),
    (
        SCHEDULER,
        "        if obstacle.code != _CLOCK:\n",
        "        if True:\n",
        TIMELY + "test_to_say_that_the_clock_was_set_back_does_not_set_it_right",
    ),
    (
        SCHEDULER,
        "            check_may_begin(self.store, agreement, now, software=self.software)\n",
        "",
        TIMELY + "test_other_software_than_agreed_starts_nothing",
    ),
    (
        SCHEDULER,
        "        self._check_budget(agreement)\n",
        "",
        TIMELY + "test_the_budget_that_releases_say_is_spent_starts_nothing",
    ),
    (
        SCHEDULER,
        "if first and missing:",
        "if False:",
        TIMELY + "test_too_few_connected_partners_keep_it_waiting_while_the_window_is_open",
    ),
    (
        SCHEDULER,
        "if len(there) < agreement.smallest_set:",
        "if False:",
        TIMELY + "test_a_later_run_needs_the_smallest_set",
    ),
    (
        SCHEDULER,
        "            self.store.check_startable(agreement)\n",
        "",
        TIMELY + "test_a_run_that_goes_on_keeps_the_next_one_waiting",
    ),
    (
        IN_FORCE,
        "if one.effective <= now]",
        "]",
        TIMELY
        + "test_two_versions_share_a_moment_and_the_later_ones_rule_holds_from_its_effective_date",
    ),
    (
        DUE,
        "was = moment.until > published and (",
        "was = (",
        TIMELY + "test_moments_before_a_version_was_published_are_none",
    ),
    (
        DUE,
        "(stopped is None or moment.at < stopped)",
        "True",
        TIMELY + "test_an_agreement_that_was_stopped_has_no_moments_any_more",
    ),
    (
        "coordinator/cli/partner.py",
        '        noted(config, "partner invite", ", ".join(partners)),\n',
        "",
        "test_noted_commands.py::test_invitations_certificates_and_copies_of_the_state_are_noted",
    ),
    (
        "coordinator/cli/certificate.py",
        '        noted(config, "certificate renew", ", ".join(hosts)),\n',
        "",
        "test_noted_commands.py::test_invitations_certificates_and_copies_of_the_state_are_noted",
    ),
    (
        "coordinator/cli/state.py",
        '    with noted(config, "state backup", out.name):\n',
        "    if True:\n",
        "test_noted_commands.py::test_invitations_certificates_and_copies_of_the_state_are_noted",
    ),
    (
        "coordinator/cli/state.py",
        '    with noted(config, "state restore", f"of {made.made_at}"):\n',
        "    if True:\n",
        "test_noted_commands.py::test_invitations_certificates_and_copies_of_the_state_are_noted",
    ),
    (
        "coordinator/cli/state.py",
        '    with noted(config, "state move", to):\n',
        "    if True:\n",
        "test_noted_commands.py::test_invitations_certificates_and_copies_of_the_state_are_noted",
    ),
    (
        "coordinator/cli/keys.py",
        '    with noted(config, "key rotate", ""):\n',
        "    if True:\n",
        "test_rotating.py::test_rotate_replaces_the_key_and_erases_the_old_one",
    ),
    (
        "coordinator/cli/keys.py",
        '    with noted(config, "key passphrase", ""):\n',
        "    if True:\n",
        "test_rotating.py::test_every_key_opens_with_the_new_passphrase_alone",
    ),
    # the public ports' certificate is replaced
    (
        RENEWING,
        "        if awaited.all and not without_waiting:\n",
        "        if False:\n",
        RENEWED + "test_of_partners_by_hand_nothing_is_known_and_they_get_the_file",
    ),
    (
        RENEWING,
        "    if not any(certifies(one, chain) for one in certificates):\n",
        "    if False:\n",
        RENEWED + "test_a_certificate_of_ones_own_has_its_authorities_stated",
    ),
    (
        RENEWING,
        "            if not _is_told(store, made):\n                _take_back(config, before)\n",
        "",
        RENEWED + "test_what_cannot_be_stated_leaves_what_waited",
    ),
    (
        RENEWING,
        "left.without(_admitted(store, without))",
        "left.without(left.by_hand if without else ())",
        RENEWED + "test_whoever_is_named_is_not_waited_for_and_all_others_are",
    ),
    (
        RENEWING,
        "certifies(one, chain) and one.not_valid_after_utc > now",
        "certifies(one, chain)",
        RENEWED + "test_an_authority_that_has_ended_is_not_stated_beside_the_next",
    ),
    (
        RENEWING,
        "        if waiting(config) is not None:\n",
        "        if False:\n",
        RENEWED + "test_while_one_waits_no_other_authorities_are_stated",
    ),
    (
        RENEWING,
        "        write_file(config.key, found.key, mode=0o600)\n",
        "        write_file(config.key, found.key, mode=0o644)\n",
        RENEWED + "test_the_next_one_waits_and_takes_the_place_of_the_one_in_force",
    ),
    (
        RENEWING,
        "        remove_private_file(switching)\n",
        "",
        RENEWED + "test_the_next_one_waits_and_takes_the_place_of_the_one_in_force",
    ),
    (
        "coordinator/control/authorities.py",
        "1 if last is None else last.number + 1",
        "1",
        RENEWED + "test_the_number_grows_though_the_clock_goes_back",
    ),
    (
        SERVING,
        "            settled(self.config, store)\n",
        "",
        RENEWED + "test_whoever_serves_ends_what_was_begun_and_shows_what_is_switched_to",
    ),
    (
        RENEWING,
        "    with changing_keys(config, wait_s=_OTHERS_END_S):\n        finish(",
        "    if True:\n        finish(",
        RENEWED + "test_whoever_serves_ends_what_was_begun_as_nobody_else_does",
    ),
    (
        "coordinator/service/gateway.py",
        ', password=lambda: b""',
        "",
        RENEWED + "test_an_encrypted_key_is_refused_and_nobody_is_asked_for_its_passphrase",
    ),
    (
        SERVING,
        "                        certificate.look(ports)\n",
        "",
        RENEWED + "test_whoever_serves_ends_what_was_begun_and_shows_what_is_switched_to",
    ),
    (
        "coordinator/evidence/materials.py",
        '    if _ENCRYPTED not in data:\n        return ""\n',
        "",
        "test_evidence.py::test_a_key_in_clear_or_open_to_others_is_not_called_safe",
    ),
    # the audit log
    (
        "coordinator/store/coordinator_store.py",
        "                self.log.settle()\n",
        "                pass\n",
        "test_audit_log.py::test_what_has_no_entry_is_not_stored",
    ),
    (
        "coordinator/store/coordinator_store.py",
        "        self.log.before(sql)\n",
        "",
        "test_audit_log.py::test_nothing_of_it_is_changed_or_deleted",
    ),
    (
        "coordinator/store/audit_log.py",
        "        if changes_the_log(sql):\n",
        "        if False:\n",
        "test_audit_log.py::test_nothing_of_it_is_changed_or_deleted",
    ),
    (
        "coordinator/store/audit_log.py",
        '        if not self._inside:\n            raise _owed(f"an entry',
        '        if False:\n            raise _owed(f"an entry',
        "test_audit_log.py::test_what_has_no_entry_is_not_stored",
    ),
    (
        "coordinator/store/audit_log.py",
        "        self._has_begun = False  # as it may be undone: the next one looks\n",
        "",
        "test_audit_log.py::test_what_is_undone_is_not_in_it",
    ),
    (
        "coordinator/store/coordinator_store.py",
        "                code=code_in_log(code),\n",
        "                code=code,\n",
        "test_audit_log.py::test_why_a_run_failed_is_a_code_and_never_words",
    ),
    (
        "coordinator/backup.py",
        "            mark_restored(database, made_at=made_at)\n",
        "            pass\n",
        "test_log_cli.py::test_settings_keys_and_restored_states_are_in_it_when_it_serves",
    ),
    (
        "coordinator/console/site.py",
        "        with acting(asked.account.name):\n",
        '        with acting(""):\n',
        "test_console.py::test_what_people_do_in_the_console_is_in_the_audit_log_with_their_names",
    ),
]
