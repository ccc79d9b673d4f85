"""Guards taken out one at a time, each with a test that has to notice.

A mutation is `(file, text, replacement, test)`: the text occurs once in the file.
"""

from __future__ import annotations

GATE = "partner_node/consent/gate.py"
HOME = "partner_node/home.py"
NODE = "partner_node/node.py"
DATABASE = "machine/database.py"
STORE = "partner_node/store/node_store.py"
RETENTION = "partner_node/segments/retention.py"
EGRESS = "partner_node/egress/check.py"
REPLIES = "protocol/replies.py"
LOCKS = "machine/locks.py"
REGISTER = "partner_node/register/requests.py"
WISHES = "partner_node/rights/wishes.py"
FEEDBACK = "partner_node/cli/feedback.py"
SERVED = "partner_node/served_nodes.py"
CHARGES = "partner_node/store/ledger.py"
COUNTS = "partner_node/segments/count_ranges.py"
TOLD = "partner_node/segments/told_ranges.py"
SQLITE = "partner_node/sources/sqlite/source.py"
SQLITE_HEADER = "partner_node/sources/sqlite/header.py"
MYSQL = "partner_node/sources/mysql/"

GATES = "test_consent_gate.py::"
RULES = "test_consent_rules.py::"
LEDGER = "test_ledger.py::"
ANSWERING = "test_node.py::"
ON_REQUEST = "test_node.py::"
STORED = "test_node_store.py::"
COMMANDS = "test_node_cli.py::"
KEPT = "test_retention.py::"
LEAVING = "test_egress.py::"
RIGHTS = "test_rights.py::"
RANGES = "test_local_counts.py::"
SAID = "test_feedback.py::"
SEVERAL = "test_several_agreements.py::"
NOTICES = "test_notice_cli.py::"
WORDED = "test_notices.py::"
IN_SQLITE = "test_sqlite_source.py::"
LAST = "partner_node/consent/last_snapshot.py"
JUDGED = "test_last_snapshot.py::"
KEEPING = "partner_node/customers/kept_customers.py"
DIGEST = "partner_node/sources/data_file.py"
QUESTIONS = "test_kept_customers.py::"
IN_MYSQL = "test_mysql_source.py::"
EXPECTED = "partner_node/due.py"
AWAITED = "test_due.py::"
ACCEPTED = "partner_node/store/builds.py"
BUILDS = "test_builds.py::"
TAKING_EFFECT = "partner_node/agreeing.py"
WAITING_VERSIONS = "partner_node/store/waiting.py"
CLIENT = "partner_node/client_app.py"
OPEN_KEYS = "partner_node/open_keys.py"
OPENED = "test_open_keys.py::"
FOUR_EYES = "partner_node/four_eyes.py"
WAITS = "test_waiting_versions.py::"
AUDIT_LOG = "partner_node/store/audit_log.py"
LOGGED = "test_audit_log.py::"
COSIGNING = "partner_node/cosigning.py"
COSIGNED = "test_cosigning.py::"

MUTATIONS: list[tuple[str, str, str, str]] = [
    # the passphrase
    (
        "partner_node/passphrase.py",
        '            write_file(next_of(file), new + b"\\n", mode=0o600)\n',
        "            pass\n",
        "test_changed_passphrase.py::test_switched_off_at_any_step_the_node_opens_and_the_same_"
        "command_goes_on",
    ),
    (
        "partner_node/passphrase.py",
        "        check_passphrase(new)\n        if file",
        "        if file",
        "test_changed_passphrase.py::test_a_passphrase_that_is_too_short_is_refused",
    ),
    (
        "partner_node/passphrase.py",
        "        if file is not None and home_passphrase(home.config) != opens:\n",
        "        if False:\n",
        "test_changed_passphrase.py::test_killed_twice_with_two_passphrases_the_node_opens_with_one_"
        "that_is_kept",
    ),
    (
        "partner_node/cli/budget.py",
        "before = ledger.carried(agreement.id)",
        "before: list[tuple[str, int]] = []",
        "test_lost_key.py::test_a_node_made_anew_has_forgotten_what_was_spent_until_it_is_charged",
    ),
    # keys that are handed over
    (
        "partner_node/cli/keys.py",
        "        check_writable(out)  # before the old key is erased\n",
        "        pass\n",
        "test_rotating.py::test_a_place_where_nothing_can_be_written_is_refused_before_the_key_is_"
        "replaced",
    ),
    (
        "partner_node/handing_over.py",
        "    if failure is not None:\n        raise failure\n",
        "",
        "test_rotating.py::test_a_hand_over_is_accepted_as_a_file_by_whom_it_concerns",
    ),
    (
        "partner_node/handing_over.py",
        "one for one in known if one.hash in wanted",
        "one for one in known",
        "test_rotating.py::test_a_hand_over_is_accepted_as_a_file_by_whom_it_concerns",
    ),
    (
        "partner_node/backup.py",
        "    with changing_keys(home):",
        "    if True:",
        "test_rotating.py::test_no_backup_is_made_while_the_key_is_being_replaced",
    ),
    (
        "partner_node/rotating.py",
        "    if going:",
        "    if False:",
        "test_rotating.py::test_a_key_is_not_replaced_while_a_run_goes_on_unless_it_is_to_end",
    ),
    (
        "partner_node/rotating.py",
        "        write_card(home, anew)\n",
        "        pass\n",
        "test_rotating.py::test_a_key_that_is_renewed_is_on_the_card_whatever_is_switched_off",
    ),
    (
        "partner_node/rotating.py",
        ".with_next()\n        keystore.save(path, passphrase)  # one",
        "\n        keystore = keystore if keystore.next_identity else keystore.with_next()\n"
        "        keystore.save(path, passphrase)  # one",
        "test_rotating.py::test_a_key_that_is_renewed_is_on_the_card_whatever_is_switched_off",
    ),
    # what a monitoring system is told
    (
        "partner_node/metrics/measuring.py",
        "        if channel == CONTROL:\n",
        "        if True:\n",
        "test_node_metrics.py::test_the_link_is_as_this_process_sees_it_and_not_as_a_killed_one_left_it",
    ),
    (
        "partner_node/metrics/measuring.py",
        "measured.set(table.OVERDUE, any(one.is_overdue(today) for one in requests))",
        "measured.set(table.OVERDUE, sum(one.is_overdue(today) for one in requests))",
        "test_node_metrics.py::test_of_customers_requests_only_whether_one_is_overdue_is_told",
    ),
    # who told this node itself
    (
        GATE,
        "self._left_out = left_out\n",
        'self._left_out = __import__("functools").cache(left_out)\n',
        GATES
        + "test_whoever_objects_or_is_erased_at_this_node_between_two_passes_is_out_of_the_second",
    ),
    (
        HOME,
        "left_out=left_out,",
        'left_out=__import__("functools").cache(left_out),',
        GATES + "test_the_gate_of_a_node_asks_its_register_anew",
    ),
    # what whoever asks without end leaves on the disk
    (
        NODE,
        "        self.store.forget_greetings(self.agreement.hash)\n",
        "",
        ON_REQUEST + "test_whoever_opens_runs_without_end_fills_no_disk",
    ),
    (
        STORE,
        "SELECT run_id FROM runs WHERE run_hash = x'' AND agreement_hash = ?\"",
        'SELECT run_id FROM runs WHERE agreement_hash = ?"',
        ON_REQUEST + "test_a_run_that_was_begun_is_not_forgotten_however_many_are_opened",
    ),
    (
        STORE,
        "            MAX_REPETITIONS,\n",
        "            1 << 30,\n",
        ON_REQUEST + "test_whoever_asks_for_one_message_without_end_fills_no_disk",
    ),
    # what an earlier version took in
    *(
        (
            file,
            text,
            text.replace("kept=True", "kept=False"),
            COMMANDS
            + "test_exact_totals_that_do_not_say_what_they_show_are_not_signed_but_stay_readable",
        )
        for file, text in (
            (HOME, "remedy=self.awaited, kept=True)"),
            (STORE, "SignedAgreement.from_bytes(envelope, kept=True)"),
            (STORE, "SignedAgreement.from_bytes(row[0], kept=True)"),
        )
    ),
    # before anything is signed or answered
    (
        NODE,
        "        if not isinstance(request, Stop | Publish):\n",
        "        if not isinstance(request, Stop | Publish | Propose):\n",
        RULES + "test_no_smaller_set_is_signed_once_a_rule_is_broken",
    ),
    (
        NODE,
        "            self._check_not_stopped()\n",
        "            if not isinstance(request, Propose):\n"
        "                self._check_not_stopped()\n",
        RULES + "test_no_smaller_set_is_signed_after_a_stop",
    ),
    (
        NODE,
        "if c.run_id == current.run_id]",
        "if not c.run_id]",
        LEDGER + "test_a_node_refuses_what_a_run_would_cost_beyond_its_own_share",
    ),
    (
        NODE,
        "        check_within_run(terms, own, charge, cost=cost)\n",
        "",
        LEDGER + "test_a_node_refuses_what_a_run_would_cost_beyond_its_own_share",
    ),
    # what a forgotten run is charged
    (
        NODE,
        "        return release.privacy.rho if own in release.participants else None\n",
        "        return release.privacy.rho\n",
        LEDGER + "test_of_a_forgotten_run_that_ended_without_this_node_the_most_is_charged",
    ),
    (
        NODE,
        "or release.run_hash != run_hash:",
        "or False:",
        LEDGER
        + "test_of_forgotten_runs_the_one_whose_release_this_node_signed_costs_what_that_says",
    ),
    # where a run starts
    (
        NODE,
        "self.store.last_release(chain) if isinstance(request, Open) else None",
        "None",
        ANSWERING + "test_a_node_starts_no_run_from_less_than_the_last_release_that_it_received",
    ),
    (
        STORE,
        "key=lambda row: places.get(row[0], -1)",
        "key=rows.index",
        STORED + "test_the_last_release_is_that_of_the_chains_latest_run_whenever_it_was_received",
    ),
    # what is on disk
    (
        DATABASE,
        '"PRAGMA synchronous = FULL"',
        '"PRAGMA synchronous = OFF"',
        STORED + "test_a_commit_is_on_the_disk_when_it_returns_and_not_only_handed_to_the_system",
    ),
    *(
        (
            RETENTION,
            f'manifests WHERE at < ? AND hex(run_id) {which} (SELECT value FROM json_each(?))"\n'
            '    " AND run_id NOT IN (SELECT',
            f'manifests WHERE at < ? AND hex(run_id) {which} (SELECT value FROM json_each(?))"\n'
            '    " AND run_id IN (SELECT',
            KEPT + "test_what_a_run_wrote_down_is_kept_until_it_has_ended_however_old_it_is",
        )
        for which in ("IN", "NOT IN")
    ),
    # what may leave
    *(
        (
            REPLIES,
            f"{said}\n                leaves=frozenset({{{phases}}})",
            f"{said}\n                leaves=frozenset({{{phases}, {one_more}}})",
            LEAVING + "test_a_message_leaves_a_run_in_those_phases_alone_that_it_belongs_to",
        )
        for said, phases, one_more in (
            ('"stop noted"},', "Phase.DONE, Phase.ABORTED", "Phase.RUNNING"),
            ('"answer hidden under masks"},', "Phase.RUNNING, Phase.DONE", "Phase.ABORTED"),
            ('"release signed"},', "Phase.RUNNING, Phase.DONE", "Phase.READY"),
            ('{Propose: "participant set signed"},', "Phase.READY, Phase.RUNNING", "Phase.DONE"),
        )
    ),
    (
        REPLIES,
        'answers={Roster: "participant set signed"}',
        'answers={Roster: "participant set signed", Propose: "participant set signed"}',
        LEAVING + "test_a_message_replies_to_those_requests_alone_that_ask_for_it",
    ),
    (
        EGRESS,
        "if type(grounds.request) not in kind.answers:",
        "if False:",
        LEAVING + "test_a_message_replies_to_those_requests_alone_that_ask_for_it",
    ),
    (
        EGRESS,
        "if run.phase not in kind.leaves:",
        "if False:",
        LEAVING + "test_a_message_leaves_a_run_in_those_phases_alone_that_it_belongs_to",
    ),
    (
        EGRESS,
        "if (manifest.belongs_to, manifest.head) != _expected_place(KINDS[reply.kind], grounds):",
        "if False:",
        LEAVING + "test_a_message_leaves_the_run_round_and_set_alone_that_it_belongs_to",
    ),
    (
        "partner_node/egress/manifest.py",
        'reply.head if KINDS[reply.kind].one_a_set else b"",',
        'b"",',
        "test_manifest_slots.py::test_acceptances_of_two_sets_are_two_messages",
    ),
    (
        "partner_node/egress/manifest.py",
        'acknowledged(reply, request).encode("ascii"),',
        'b"",',
        "test_manifest_slots.py::test_a_message_is_found_where_earlier_versions_wrote_it",
    ),
    (
        EGRESS,
        "if said.share_variance != least:",
        "if said.share_variance < least:",
        LEAVING + "test_an_answer_that_claims_more_than_the_agreed_plan_gives_does_not_leave",
    ),
    (
        EGRESS,
        "or said.cost != charge.cost:",
        "or said.cost < charge.cost:",
        LEAVING + "test_an_answer_that_claims_more_than_the_agreed_plan_gives_does_not_leave",
    ),
    (
        LOCKS,
        "        os.close(descriptor)\n",
        "        pass\n",
        "test_private_files.py::test_a_lock_that_nobody_holds_any_more_is_free_at_once",
    ),
    # a stop without its partner's signature
    (
        "partner_node/node.py",
        "if request.reason == WITHDRAWN and self.store.stop_of(self.agreement.hash) is None:",
        "if False:",
        RULES + "test_a_stop_that_nobody_signed_is_not_believed",
    ),
    # files that are not as they were written, or not this folder's
    (
        RETENTION,
        '            return "changed"\n',
        "            pass\n",
        KEPT + "test_a_file_that_is_not_recognised_is_left_alone_and_named_until_somebody_decided",
    ),
    (
        RETENTION,
        '    if versions[0].foreign:\n        return "foreign"\n',
        "",
        KEPT + "test_a_copied_folder_deletes_its_own_files_and_none_of_the_original",
    ),
    (
        "partner_node/segments/segment_tables.py",
        "return all(found <= {release} for found in self._columns(RELEASE))",
        "return True",
        KEPT + "test_a_table_of_something_else_in_the_place_of_a_file_is_not_deleted",
    ),
    (
        "partner_node/rights/segment_files.py",
        "return InFile.NOT_LISTED if as_written else InFile.CHANGED",
        "return InFile.NOT_LISTED",
        RIGHTS + "test_nobody_is_said_to_be_in_no_file_where_one_was_saved_again",
    ),
    # to the last day
    (
        REGISTER,
        "return self.is_open and today > self.due",
        "return self.is_open and today >= self.due",
        RIGHTS + "test_the_last_day_is_in_time_and_the_next_one_is_late",
    ),
    (
        REGISTER,
        "return self.done_at[:10] > self.due.isoformat()",
        "return self.done_at[:10] >= self.due.isoformat()",
        RIGHTS + "test_the_last_day_is_in_time_and_the_next_one_is_late",
    ),
    # a wish that is taken back, or another customer's than was written down
    *(
        (file, text, replacement, RIGHTS + test)
        for file, text, replacement, test in (
            (
                WISHES,
                "    if not wishes:\n",
                "    if False:\n",
                "test_a_wish_that_is_taken_back_holds_no_longer_and_leaves_a_receipt",
            ),
            (
                REGISTER,
                "if self._unsealed(row[0], row[3]) == subject]",
                "]",
                "test_nobody_but_who_took_a_wish_back_is_counted_again",
            ),
            (
                REGISTER,
                'self._store.ask("DELETE FROM wishes WHERE pseudonym = ?", pseudonym)',
                "self._store.ask(\"DELETE FROM wishes WHERE ? > ''\", pseudonym)",
                "test_nobody_but_who_took_a_wish_back_is_counted_again",
            ),
            (
                WISHES,
                "    still = None if reason is None else reason.words\n",
                "    still = None\n",
                "test_who_took_an_objection_back_and_has_no_consent_is_told_so",
            ),
            (
                WISHES,
                "instead_of=case.pseudonyms.of(mistyped)",
                "instead_of=case.pseudonym",
                "test_a_mistyped_wish_is_corrected_with_both_ids_named",
            ),
            (
                WISHES,
                "        case.register.take_back(mistyped)\n",
                "",
                "test_a_mistyped_wish_is_corrected_with_both_ids_named",
            ),
            (
                WISHES,
                "for wish in get_args(Wish) if wish in wishes]",
                "for wish in get_args(Wish)[:1]]",
                "test_a_correction_moves_each_wish_and_nobody_else_is_counted_again",
            ),
            (
                WISHES,
                "    wishes = _need_wishes(case, mistyped)\n",
                "    wishes = _need_wishes(case, mistyped)\n"
                "    with case.store.transaction():\n"
                "        case.register.take_back(mistyped)\n",
                "test_a_correction_that_is_cut_short_leaves_both_out",
            ),
            # requests that are open still go with it, of nobody else and none that came later
            (
                "partner_node/rights/desk.py",
                "            self.register.answer(request.number, receipt.to_dict(), self.now)\n",
                "            pass\n",
                "test_a_request_that_nothing_was_done_for_yet_can_be_taken_back",
            ),
            (
                REGISTER,
                " and r.received <= until",
                "",
                "test_a_request_that_came_after_the_day_of_the_taking_back_stays_open",
            ),
            (
                REGISTER,
                "r.is_open and r.kind in kinds and r.pseudonym in whose",
                "r.is_open and r.kind in kinds",
                "test_requests_of_either_id_that_are_open_still_are_settled_by_a_correction",
            ),
            (
                WISHES,
                "{case.subject, mistyped}, received)",
                "{mistyped}, received)",
                "test_requests_of_either_id_that_are_open_still_are_settled_by_a_correction",
            ),
            (
                "partner_node/rights/desk.py",
                ". The wish is on record and holds all the same, from the next question on",
                "",
                "test_that_the_wish_holds_is_said_too_where_a_file_cannot_be_written",
            ),
        )
    ),
    (
        FEEDBACK,
        'if stamp(one.at) > given_up.get(desk.pseudonyms.of(one.subject), "")',
        "if True",
        SAID
        + "test_an_opt_out_that_was_taken_back_or_corrected_does_not_come_back_by_an_older_line",
    ),
    (
        REGISTER,
        'until = min(request.done_at, f"{request.received}T23:59:59.999999Z")',
        "until = request.done_at",
        SAID + "test_an_opt_out_after_the_day_on_which_an_earlier_one_was_taken_back_holds",
    ),
    # counts of own customers are told as ranges, from which no small one follows
    (
        COUNTS,
        "return max(agreement.min_segment_size, LEAST_STEP)",
        "return LEAST_STEP",
        RANGES + "test_ranges_are_as_wide_as_the_smallest_agreed_segment_and_ten_at_least",
    ),
    (
        COUNTS,
        "return max(agreement.min_segment_size, LEAST_STEP)",
        "return agreement.min_segment_size",
        RANGES + "test_ranges_are_as_wide_as_the_smallest_agreed_segment_and_ten_at_least",
    ),
    (
        COUNTS,
        "CountRange(least=value - value % step,",
        "CountRange(least=value,",
        RANGES + "test_nobody_and_a_few_look_the_same",
    ),
    (
        COUNTS,
        "min(values) >= step:",
        "min(values) >= 0:",
        RANGES + "test_a_second_count_is_hidden_beside_a_small_one",
    ),
    (
        COUNTS,
        "if left_open >= 2 * step - 1:",
        "if True:",
        RANGES + "test_all_are_hidden_where_one_more_would_not_be_enough",
    ),
    (
        TOLD,
        "if found.least is not None:",
        "if True:",
        RANGES + "test_a_hidden_count_is_told_as_before_and_of_its_own_kind_and_segment_alone",
    ),
    (
        TOLD,
        "AND segment = ?",
        "AND ? > ''",
        RANGES + "test_a_hidden_count_is_told_as_before_and_of_its_own_kind_and_segment_alone",
    ),
    (
        TOLD,
        "WHERE agreement_id = ? AND kind = ?",
        "WHERE agreement_id = ? AND ? > ''",
        RANGES + "test_a_hidden_count_is_told_as_before_and_of_its_own_kind_and_segment_alone",
    ),
    # what a database's own schema may do
    (
        SQLITE,
        '"PRAGMA trusted_schema = OFF", ',
        "",
        IN_SQLITE + "test_a_view_in_the_file_calls_no_function_of_ours",
    ),
    # what opens a database's file past SQLite
    (
        SQLITE_HEADER,
        "        if key not in _OPEN:\n",
        "        if True:\n",
        IN_SQLITE + "test_a_pass_keeps_its_lock_whatever_else_looks_at_the_file",
    ),
    (
        SQLITE_HEADER,
        "            if not opened.times:\n",
        "            if True:\n",
        IN_SQLITE + "test_a_pass_keeps_its_lock_whatever_else_looks_at_the_file",
    ),
    (
        "partner_node/sources/files.py",
        "    if not os.access(path,",
        "    Path(path).open().close()\n    if not os.access(path,",
        IN_SQLITE + "test_a_pass_keeps_its_lock_whatever_else_looks_at_the_file",
    ),
    # what a server of MySQL may ask for, and what its parser may read otherwise
    (
        MYSQL + "connection.py",
        "local_infile=False",
        "local_infile=True",
        IN_MYSQL + "test_no_file_is_sent_to_a_server_that_asks_for_one",
    ),
    (
        MYSQL + "connection.py",
        "            auth_plugin_map=dict.fromkeys(_OPEN_SIGN_INS, _SignsInOpenly),\n",
        "",
        IN_MYSQL + "test_the_password_itself_is_sent_to_nobody_who_asks_for_it",
    ),
    (
        MYSQL + "connection.py",
        "if num_bytes >= _LONGEST_PACKET:",
        "if False:",
        IN_MYSQL + "test_a_row_that_is_announced_as_longer_than_all_memory_is_not_waited_for",
    ),
    (
        MYSQL + "queries.py",
        "if kind == duckdb.token_type.comment:",
        "if False:",
        IN_MYSQL + "test_comments_never_reach_the_server",
    ),
    (
        MYSQL + "queries.py",
        "if kind in _SET_APART and before in _SET_APART:",
        "if False:",
        IN_MYSQL + "test_what_can_be_seen_in_a_query_is_refused_before_anybody_connects",
    ),
    # egress
    (
        EGRESS,
        "if manifest.run_id != run.run_id:",
        "if False:",
        LEAVING + "test_an_answer_whose_manifest_is_not_as_agreed_does_not_leave",
    ),
    (
        EGRESS,
        "if said.share_variance != least:",
        "if said.share_variance > least:",
        LEAVING + "test_an_answer_to_another_question_than_the_agreed_plans_does_not_leave",
    ),
    (
        EGRESS,
        "charge.cost != charge.recomputed",
        "False",
        LEAVING + "test_an_answer_that_the_ledger_was_not_charged_for_does_not_leave",
    ),
    # several agreements in force
    (
        STORE,
        '            "agreement_hash = (SELECT agreement_hash FROM runs WHERE run_id = ?1)"\n'
        '            " AND rowid <',
        '            "rowid <',
        SEVERAL + "test_runs_go_side_by_side_and_neither_changes_the_other",
    ),
    (
        STORE,
        ' AND agreement_hash = ?"\n            " ORDER BY rowid DESC LIMIT -1 OFFSET ?"',
        ' AND ? <> x\'\'"\n            " ORDER BY rowid DESC LIMIT -1 OFFSET ?"',
        SEVERAL + "test_greetings_under_one_agreement_push_out_none_of_the_other",
    ),
    (
        SERVED,
        "            if node.is_asked(message):\n",
        "            if True:\n",
        SEVERAL + "test_runs_go_side_by_side_and_neither_changes_the_other",
    ),
    (
        SERVED,
        "        if not failed:  #",
        "        if True:  #",
        SEVERAL + "test_no_run_is_ended_while_an_agreement_cannot_be_read",
    ),
    (
        SERVED,
        "                ended = store.end_runs_outside(\n"
        "                    {one.hash for one in agreements}, now=stamp(datetime.now(UTC))\n"
        "                )\n",
        "                ended: list[bytes] = []\n",
        SEVERAL + "test_an_agreement_that_was_put_there_by_hand_ends_the_runs_of_the_one_before",
    ),
    (
        HOME,
        "        if self.section and signed.agreement.id != self.section:\n",
        "        if False:\n",
        SEVERAL + "test_another_agreement_than_its_section_is_for_keeps_the_others_from_nothing",
    ),
    (
        HOME,
        "        if own is not None and not self.section:\n",
        "        if False:\n",
        SEVERAL + "test_one_agreement_in_two_places_is_refused",
    ),
    (
        HOME,
        "            if len(ids) > 1:\n",
        "            if False:\n",
        SEVERAL + "test_a_command_about_one_agreement_asks_which_one_is_meant",
    ),
    (
        CHARGES,
        "        self.check_cap(more=charge.cost)\n",
        "",
        SEVERAL + "test_the_cap_is_asked_before_each_question_too",
    ),
    (
        CHARGES,
        "        spent = sum(self.spent_under().values())\n",
        "        spent = max(self.spent_under().values(), default=0)\n",
        SEVERAL + "test_the_cap_counts_what_was_charged_under_every_agreement",
    ),
    (
        NODE,
        "        self._ledger.check_cap(more=more)\n",
        "",
        SEVERAL + "test_the_cap_counts_what_was_charged_under_every_agreement",
    ),
    (
        CHARGES,
        "        if agreement.privacy is None and Caps(self._store).current() is not None:\n",
        "        if False:\n",
        SEVERAL + "test_with_a_cap_nothing_is_answered_on_exact_totals",
    ),
    (
        WISHES,
        "in Pseudonyms.of_every(case.home.keys_folder, case.keystore):\n",
        "in [case.said_by]:\n",
        SEVERAL + "test_what_was_said_under_each_agreement_is_told_and_erased",
    ),
    (
        RETENTION,
        "            store.ask(statement, moment, json.dumps(runs_of[identity]))\n",
        "            store.ask(statement, max(before.values()), json.dumps(runs_of[identity]))\n",
        SEVERAL + "test_records_are_kept_as_long_as_their_own_agreement_says",
    ),
    (
        RETENTION,
        "            store.ask(statement, moment, identity)\n",
        "            store.ask(statement, max(before.values()), identity)\n",
        SEVERAL + "test_records_are_kept_as_long_as_their_own_agreement_says",
    ),
    (
        SERVED,
        "nodes.append(Node.open(place, store, in_force=kept_by))",
        "nodes.append(Node.open(place, store))",
        SEVERAL + "test_a_run_under_one_agreement_forgets_no_record_of_another",
    ),
    # the way out
    (
        "partner_node/link/proxy.py",
        '    if "@" in text:',
        "    if False:",
        "test_node_config.py::test_a_proxys_password_in_the_file_is_refused_and_not_repeated",
    ),
    (
        "partner_node/link/proxy.py",
        "    if settings.address is not None:",
        "    if False:",
        "test_proxy.py::test_what_node_toml_names_counts_before_the_environment",
    ),
    (
        "partner_node/link/proxy.py",
        "    if variable is None or _is_exempt(address, environment):",
        "    if variable is None:",
        "test_proxy.py::test_exceptions_of_the_environment_and_this_machine_are_reached_directly",
    ),
    (
        "partner_node/link/proxy.py",
        "    if not (user and colon) or not text.isprintable():",
        "    if not (user and colon):",
        "test_proxy.py::test_what_is_no_user_and_password_is_refused",
    ),
    (
        "partner_node/link/tunnel.py",
        "    if http.trailing_data[0]:  # whoever is called speaks second in TLS",
        "    if False:",
        "test_tunnel.py::test_a_proxy_that_answers_no_http_is_told_as_that",
    ),
    (
        "partner_node/link/tunnel.py",
        "    if not 200 <= event.status_code < 300:",
        "    if False:",
        "test_tunnel.py::test_a_proxy_that_does_not_connect_is_told_as_that",
    ),
    (
        "partner_node/link/trouble.py",
        "return _PROXY_TLS if through_proxy and trouble is _AUTHORITY else trouble",
        "return trouble",
        "test_tunnel.py::test_a_proxy_that_opens_tls_is_told_as_that",
    ),
    (
        "partner_node/link/trusting_client.py",
        "            self._follow()\n",
        "",
        "test_flower_link.py::test_a_new_authority_counts_from_the_next_connection_on_without_a_restart",
    ),
    (
        "partner_node/link/flower_link.py",
        "            self._on_look()\n",
        "",
        "test_flower_link.py::test_what_is_to_be_looked_at_is_looked_at_once_each_time_that_messages_are_looked_for",
    ),
    (
        "partner_node/link/flower_link.py",
        "            on_look()\n",
        "",
        "test_flower_link.py::test_it_is_looked_at_too_while_the_coordinator_is_away",
    ),
    (
        "partner_node/link/flower_link.py",
        "        trust_env=False,\n",
        "",
        "test_flower_link.py::test_proxies_of_the_environment_are_not_consulted",
    ),
    (
        "partner_node/link/flower_link.py",
        "        if isinstance(behind, ssl.SSLError | ConnectionResetError | BrokenPipeError):",
        "        if False:",
        "test_flower_link.py::test_a_proxy_that_opens_tls_is_told_as_that",
    ),
    # runs that a schedule promises
    (
        EXPECTED,
        "        and since <= moment.at\n",
        "",
        AWAITED + "test_a_window_before_the_agreement_was_here_or_without_records_is_not_judged",
    ),
    (
        EXPECTED,
        'store.ask("SELECT started_at FROM runs WHERE agreement_hash = ?", agreement.hash)',
        'store.ask("SELECT started_at FROM runs")',
        AWAITED + "test_runs_at_other_times_or_of_another_agreement_are_none_of_it",
    ),
    (
        EXPECTED,
        "if store.agreement_of_run(one.run_id) in (None, agreement.hash)",
        "if True",
        AWAITED + "test_runs_at_other_times_or_of_another_agreement_are_none_of_it",
    ),
    (
        EXPECTED,
        "_last_over(agreement, now - CLOCK_SKEW)",
        "_last_over(agreement, now)",
        AWAITED + "test_a_window_is_judged_when_it_is_over_also_by_a_slow_clock",
    ),
    # builds that parties added
    (
        ACCEPTED,
        "            added.verify(agreement, kept=known is not None)\n",
        "",
        BUILDS + "test_what_is_installed_runs_once_every_party_signed_it",
    ),
    (
        ACCEPTED,
        "            one.verify(agreement, kept=True)\n",
        "            str(one)\n",
        BUILDS + "test_what_was_written_into_the_database_is_verified_when_it_is_read",
    ),
    # versions that take effect at an agreed time
    (
        TAKING_EFFECT,
        "        if is_new and agreement.effective > now:\n",
        "        if False:\n",
        WAITS + "test_a_version_that_lies_ahead_waits_and_ends_nothing_before",
    ),
    (
        TAKING_EFFECT,
        "    agreement = signed.verify()\n    place",
        "    agreement = signed.agreement\n    place",
        WAITS + "test_a_version_that_not_all_signed_does_not_wait",
    ),
    (
        TAKING_EFFECT,
        "    if waiting is not None:\n",
        "    if False:\n",
        WAITS + "test_what_follows_is_asked_of_what_waits",
    ),
    (
        TAKING_EFFECT,
        "        waiting.forget(agreement.id, now=now, until_version=agreement.version)\n",
        "",
        WAITS + "test_a_later_version_that_is_effective_leaves_nothing_waiting_before_it",
    ),
    (
        WAITING_VERSIONS,
        "if one.agreement.effective <= now",
        "if True",
        WAITS + "test_a_version_that_lies_ahead_waits_and_ends_nothing_before",
    ),
    (
        CLIENT,
        " and not self.nodes.is_overtaken(now)",
        "",
        WAITS + "test_an_open_node_answers_under_the_version_of_the_moment",
    ),
    # the console
    (
        "partner_node/config/console.py",
        "    _refuse(console, found.problem())\n",
        "",
        "test_console.py::test_the_console_is_on_this_machine_alone_unless_there_is_a_certificate",
    ),
    (
        "partner_node/console/pages.py",
        "who, people = asked.account.name,",
        'who, people = "somebody",',
        "test_console.py::test_whoever_may_approves_and_is_on_record",
    ),
    (
        "partner_node/console/pages.py",
        "            if not _NUMBER.fullmatch(text):\n",
        "            if not text.strip():\n",
        "test_console.py::test_a_form_that_names_no_message_decides_nothing",
    ),
    (
        "partner_node/console/site.py",
        "permission=Permission.DECIDE_EGRESS, about=_number",
        "permission=Permission.READ_EGRESS, about=_number",
        "test_access.py::test_each_act_is_done_for_whom_the_table_says",
    ),
    (
        "partner_node/console/site.py",
        "permission=Permission.COUNT_REACH, about",
        "permission=Permission.READ_SEGMENTS, about",
        "test_access.py::test_each_act_is_done_for_whom_the_table_says",
    ),
    (
        "partner_node/home.py",
        "held(self.serve_lock, wait_s=_LOOKED_AT_S)",
        "held(self.serve_lock)",
        "test_console.py::test_a_look_at_the_lock_keeps_no_node_from_serving",
    ),
    # whose consent counts is what the configuration says now
    (
        HOME,
        "            self.config.file,\n",
        "",
        "test_node_cli.py::"
        "test_a_node_that_serves_takes_up_its_configuration_with_the_next_message",
    ),
    # keys that a process has open are those of now
    (
        OPEN_KEYS,
        " or marks != self._marks:",
        ":",
        OPENED + "test_a_process_that_opened_the_keys_before_takes_the_next_version_up",
    ),
    (
        OPEN_KEYS,
        "            if not _is_in_force(before, known, card):\n",
        "            if False:\n",
        OPENED + "test_one_whose_signing_key_was_replaced_too_answers_nothing_with_the_old_one",
    ),
    (
        OPEN_KEYS,
        ' or error.code != "E-KEY-PASSPHRASE":\n',
        ":\n",
        OPENED + "test_a_key_store_that_is_open_to_others_or_gone_is_not_passed_over",
    ),
    (
        OPEN_KEYS,
        ".public_key == own\n",
        '.public_key != b""\n',
        OPENED + "test_one_whose_signing_key_was_replaced_too_answers_nothing_with_the_old_one",
    ),
    (
        "partner_node/agreement_files.py",
        "    if party.public_key != own_key:\n",
        "    if False:\n",
        OPENED + "test_a_proposal_that_names_the_key_of_before_is_signed_with_neither",
    ),
    (
        "partner_node/signing.py",
        "own_place(home.with_keys(signed), ",
        "own_place(signed, ",
        OPENED + "test_a_key_that_was_handed_over_signs_nothing_even_where_the_agreement_names_it",
    ),
    (
        HOME,
        "            signed = self._read()\n        except",
        "            return self.signed_agreement().agreement\n        except",
        OPENED + "test_a_hand_over_that_does_not_go_with_the_agreement_is_said",
    ),
    # which key is in force
    (
        HOME,
        "            self.hand_overs_file,\n            self.directory / CARD_FILE,\n",
        "",
        OPENED + "test_a_serving_node_answers_with_the_new_key_wherever_its_replacement_was_"
        "switched_off",
    ),
    # backups
    (
        "partner_node/backup.py",
        "            check_settled(home.config.keys.passphrase_file, "
        'command="fedseg-node key passphrase")\n',
        "            pass\n",
        "test_changed_passphrase.py::test_no_backup_is_made_in_the_midst_of_a_change",
    ),
    # what is not judged or read again
    (
        LAST,
        "files = tuple(digest_of(of_one) for of_one in found)",
        'files = (b"",)',
        JUDGED + "test_a_withdrawal_is_noticed_in_a_file_of_the_same_size_and_time",
    ),
    (
        LAST,
        'wishes.update(hashlib.sha256(subject.encode("utf-8", "surrogatepass")).digest())\n',
        'wishes.update(b"one")\n',
        JUDGED + "test_a_wish_told_to_this_node_counts_though_no_table_changed",
    ),
    (
        LAST,
        "snapshot.taken_at <= now < until",
        "snapshot.taken_at <= now",
        JUDGED + "test_a_consent_that_ends_is_out_at_that_moment",
    ),
    (
        LAST,
        "snapshot.taken_at <= now < until",
        "now < until",
        JUDGED + "test_with_a_clock_set_back_tables_are_judged_anew",
    ),
    (
        LAST,
        "        if not all(found):\n            return None\n",
        "",
        JUDGED + "test_a_table_in_a_database_is_asked_every_time",
    ),
    (
        "partner_node/consent/verdicts.py",
        "CASE WHEN moment > $now THEN moment END, ",
        "",
        JUDGED + "test_an_event_of_the_future_counts_once_its_time_has_come",
    ),
    (
        GATE,
        "            until = min(until, births_hold_until(now))\n",
        "            pass\n",
        JUDGED + "test_whoever_comes_of_age_is_in_on_that_day",
    ),
    (
        GATE,
        "if TablesState.of(self._tables, wished) == state:",
        "if True:",
        JUDGED + "test_what_was_judged_while_a_file_changed_does_not_stand_for_the_file_of_before",
    ),
    (
        DIGEST,
        "about = repr(file)",
        "about = repr((file.path, file.size, file.modified_ns, file.inode))",
        QUESTIONS + "test_a_file_that_changed_in_any_way_is_read_again",
    ),
    (
        DIGEST,
        "about = repr(file)",
        "about = repr((file.path, file.size, file.modified_ns, file.inode))",
        JUDGED + "test_a_file_that_was_another_only_while_it_was_judged_is_judged_again",
    ),
    (
        KEEPING,
        "None if digest is None else _Of(digest, hashing)",
        "None if digest is None else _Of(digest, None)",
        QUESTIONS + "test_hashes_of_another_gate_are_not_compared",
    ),
    (
        DIGEST,
        '                digest.update(hashlib.file_digest(opened, "sha256").digest())\n',
        "                pass\n",
        QUESTIONS + "test_a_change_that_no_time_tells_of_is_seen_in_what_is_in_the_file",
    ),
    (
        "partner_node/customers/idle.py",
        "if timer is self._latest and forget is not None:",
        "if forget is not None:",
        QUESTIONS + "test_a_timer_whose_place_another_took_forgets_nothing",
    ),
    (
        "partner_node/customers/source_customers.py",
        "permitted = gate.snapshot(self._clock())\n        self._idle.put_off()\n",
        "permitted = gate.snapshot(self._clock())\n",
        QUESTIONS + "test_what_is_kept_is_forgotten_when_no_question_comes_for_a_while",
    ),
    (
        HOME,
        "if KINDS[data.kind].has_tables",
        "if False",
        QUESTIONS + "test_a_database_is_asked_every_time_since_its_views_may_hang_on_the_clock",
    ),
    (
        KEEPING,
        "keeps = bool(files) and settled",
        "keeps = settled",
        QUESTIONS + "test_a_server_is_read_for_every_question",
    ),
    (
        KEEPING,
        "keeps = bool(files) and settled",
        "keeps = bool(files)",
        QUESTIONS + "test_a_file_that_changed_a_moment_ago_may_change_again_unnoticed",
    ),
    (
        KEEPING,
        " and _of(files, self._of.hashing) == self._of:",
        ":",
        QUESTIONS + "test_a_file_that_changes_while_it_is_read_is_not_kept",
    ),
    (
        KEEPING,
        "        if self._answered is None or self._answered[0]() is not permitted:\n",
        "        if self._answered is None:\n",
        QUESTIONS + "test_who_is_eligible_is_asked_of_the_gate_before_every_question",
    ),
    (
        "partner_node/kept_room.py",
        "return others + n_bytes <= self._most_bytes",
        "return n_bytes <= self._most_bytes",
        QUESTIONS + "test_the_agreements_of_a_folder_share_the_room_for_what_is_kept",
    ),
    (
        HOME,
        "        return self._rooms[0]\n",
        "        return self._rooms.pop()\n",
        QUESTIONS + "test_a_folder_has_one_room_for_customers_and_gates",
    ),
    (
        NODE,
        "                self._run_over()\n",
        "                pass\n",
        QUESTIONS + "test_a_node_says_when_a_run_is_over_with_a_release_or_without",
    ),
    (
        NODE,
        "        for run_id in run_ids:\n            self._is_over = True\n",
        "        for run_id in run_ids:\n",
        "test_node.py::test_what_is_kept_goes_with_a_run_that_another_supersedes",
    ),
    (
        NODE,
        "            self._is_over = True  # whatever run there was",
        "            pass  # whatever run there was",
        "test_node.py::test_what_is_kept_goes_when_the_agreement_is_stopped",
    ),
    # two people, where the agreement says so
    (
        "partner_node/egress/gate.py",
        "            people = 2 if two else 1\n",
        "",
        "test_four_eyes.py::test_a_held_message_leaves_when_two_people_approved_it",
    ),
    (
        "partner_node/egress/gate.py",
        "needs_two(self._store, EGRESS, self._agreement, self._agreement)",
        "EGRESS in self._agreement.four_eyes",
        "test_four_eyes.py::test_going_back_takes_no_clause_about_held_messages_away",
    ),
    (
        "partner_node/egress/records.py",
        '            refuse_same_person(f"message {number}", found.first_by, by)\n',
        "",
        "test_four_eyes.py::test_a_held_message_leaves_when_two_people_approved_it",
    ),
    (
        FOUR_EYES,
        "if person_of(first) == person_of(second):",
        "if first == second:",
        "test_four_eyes.py::test_an_account_and_the_machine_are_two_people_unless_they_have_one_name",
    ),
    (
        FOUR_EYES,
        "            refuse_same_person(what, before.who, by)\n",
        "",
        "test_four_eyes.py::test_a_first_word_is_about_one_thing_and_good_for_a_week",
    ),
    (
        FOUR_EYES,
        "WHERE act = ? AND at > ?",
        "WHERE act = ? AND ? <> ''",
        "test_four_eyes.py::test_a_first_word_is_about_one_thing_and_good_for_a_week",
    ),
    (
        FOUR_EYES,
        "if one.about == about",
        "if True",
        "test_four_eyes.py::test_a_first_word_is_about_one_thing_and_good_for_a_week",
    ),
    (
        "machine/accounts/acts.py",
        "        name = pwd.getpwuid(number).pw_name\n",
        '        name = os.environ.get("LOGNAME") or pwd.getpwuid(number).pw_name\n',
        "test_four_eyes.py::test_who_is_at_the_machine_is_no_variable",
    ),
    (
        FOUR_EYES,
        "[last, *(one for one in kept",
        "[*(one for one in kept",
        "test_four_eyes.py::test_going_back_before_a_version_is_effective_takes_no_clause_away",
    ),
    (
        FOUR_EYES,
        "for version in (agreement, *held))",
        "for version in (agreement,))",
        "test_four_eyes.py::test_one_person_does_not_sign_the_clause_away",
    ),
    (
        FOUR_EYES,
        "one.version >= last.version",
        "False",
        "test_four_eyes.py::test_going_back_to_an_earlier_version_takes_no_clause_away",
    ),
    (
        FOUR_EYES,
        "        last = next(iter(kept), None)\n",
        "        last = None\n",
        "test_four_eyes.py::test_a_clause_holds_while_another_agreement_is_in_force",
    ),
    (
        "partner_node/store/waiting.py",
        "                    self._store.keep_agreement(one, now=now)\n",
        "                    pass\n",
        "test_four_eyes.py::test_going_back_before_a_version_is_effective_takes_no_clause_away",
    ),
    (
        "partner_node/store/waiting.py",
        "            self._store.keep_agreement(last, now=now)\n",
        "            pass\n",
        "test_waiting_versions.py::"
        "test_a_version_that_waits_does_not_undo_what_a_person_installed_since",
    ),
    (
        "partner_node/signing.py",
        "            if isinstance(joined, First):\n",
        "            if False:\n",
        "test_four_eyes.py::test_nothing_is_signed_before_a_second_person_signs",
    ),
    (
        "partner_node/signing.py",
        "    _forget_word(home, signing.copy.agreement)\n",
        "",
        "test_four_eyes.py::test_nothing_is_signed_before_a_second_person_signs",
    ),
    (
        "partner_node/segments/exports.py",
        "        if needs_two(store, EXPORT, known.agreement, home.installed_agreement()):\n",
        "        if False:\n",
        "test_four_eyes.py::test_a_file_is_written_when_two_people_asked_for_the_same",
    ),
    (
        "partner_node/segments/wishes.py",
        "self.suffix, self.escape]",
        "self.suffix, False]",
        "test_four_eyes.py::test_a_file_is_written_when_two_people_asked_for_the_same",
    ),
    (
        "partner_node/config/console.py",
        "    _refuse(oidc, found.problem())\n",
        "",
        "test_console.py::test_an_identity_provider_is_reached_by_tls",
    ),
    (
        "machine/web/application.py",
        "                noted.waits()\n",
        "",
        "test_console_exports.py::test_a_second_person_agrees_to_the_same_file",
    ),
    (
        "partner_node/cli/egress.py",
        "            noting.waits()\n",
        "            pass\n",
        "test_four_eyes.py::test_a_held_message_leaves_when_two_people_approved_it",
    ),
    (
        "partner_node/cli/agreement.py",
        "            noting.waits()\n",
        "            pass\n",
        "test_four_eyes.py::test_nothing_is_signed_before_a_second_person_signs",
    ),
    (
        "partner_node/cli/exports.py",
        "            noting.waits()\n",
        "            pass\n",
        "test_four_eyes.py::test_a_file_is_written_when_two_people_asked_for_the_same",
    ),
    (
        "partner_node/cli/keys.py",
        '    with noted(home, "key rotate", "", now):\n',
        "    if True:\n",
        "test_noted_commands.py::test_changes_of_keys_and_agreements_are_noted",
    ),
    (
        "partner_node/cli/keys.py",
        '    with noted(home, "key passphrase", "", datetime.now(UTC)):\n',
        "    if True:\n",
        "test_noted_commands.py::test_changes_of_keys_and_agreements_are_noted",
    ),
    (
        "partner_node/cli/keys.py",
        '    with noted(home, "key renew", "", now):\n',
        "    if True:\n",
        "test_noted_commands.py::test_changes_of_keys_and_agreements_are_noted",
    ),
    (
        "partner_node/cli/agreement.py",
        '    with noted(home, "agreement install", about, now):\n',
        "    if True:\n",
        "test_noted_commands.py::test_changes_of_keys_and_agreements_are_noted",
    ),
    (
        "partner_node/cli/noting.py",
        '            with noted(home, act, "", datetime.now(UTC)):\n',
        "            if True:\n",
        "test_noted_commands.py::test_what_is_done_about_customers_files_and_state_is_noted_and_names_no_customer",
    ),
    (
        "partner_node/cli/rights/__init__.py",
        '(noting(f"rights {_word}")(_command))',
        "(_command)",
        "test_noted_commands.py::test_what_is_done_about_customers_files_and_state_is_noted_and_names_no_customer",
    ),
    (
        "partner_node/cli/feedback.py",
        '@noting("feedback import")\n',
        "",
        "test_noted_commands.py::test_what_is_done_about_customers_files_and_state_is_noted_and_names_no_customer",
    ),
    (
        "partner_node/cli/retention.py",
        '    with noted(home, "retention apply", about, now):\n',
        "    if True:\n",
        "test_noted_commands.py::test_what_is_done_about_customers_files_and_state_is_noted_and_names_no_customer",
    ),
    (
        "partner_node/cli/state.py",
        '    with noted(home, "state backup", out.name, now):\n',
        "    if True:\n",
        "test_noted_commands.py::test_what_is_done_about_customers_files_and_state_is_noted_and_names_no_customer",
    ),
    (
        "partner_node/cli/state.py",
        '    with noted(home, "state reset", "", datetime.now(UTC)):\n',
        "    if True:\n",
        "test_noted_commands.py::test_what_is_done_about_customers_files_and_state_is_noted_and_names_no_customer",
    ),
    (
        "partner_node/cli/state.py",
        '    with noted(home, "state restore", f"of {made.made_at}", datetime.now(UTC)):\n',
        "    if True:\n",
        "test_noted_commands.py::test_what_is_done_about_customers_files_and_state_is_noted_and_names_no_customer",
    ),
    (
        FOUR_EYES,
        "            if self._people.may_still(who, act, account=account)\n",
        "",
        "test_four_eyes.py::test_a_word_of_whom_may_not_say_it_any_more_does_not_count",
    ),
    (
        FOUR_EYES,
        "if found is None or found.mark != account or",
        "if found is None or",
        "test_four_eyes.py::test_a_word_of_whom_may_not_say_it_any_more_does_not_count",
    ),
    (
        FOUR_EYES,
        "        return may(found.role, NEEDED[act])\n",
        "        return True\n",
        "test_four_eyes.py::test_a_word_of_whom_may_not_say_it_any_more_does_not_count",
    ),
    (
        FOUR_EYES,
        'WHERE at <= ?", stamp(now - GOOD_FOR))',
        'WHERE at = ?", "")',
        "test_four_eyes.py::test_a_first_word_is_about_one_thing_and_good_for_a_week",
    ),
    (
        "partner_node/egress/records.py",
        " or not counts(found.first_by, found.first_account):",
        ":",
        "test_four_eyes.py::test_the_approval_of_a_removed_account_does_not_count",
    ),
    (
        "partner_node/egress/records.py",
        "                    by, account, number,",
        '                    by, "", number,',
        "test_four_eyes.py::test_the_approval_of_an_account_that_is_there_still_counts",
    ),
    (
        "machine/accounts/accounts.py",
        '        return f"{self.id} {self.changed_at}"',
        "        return self.changed_at",
        "test_four_eyes.py::test_a_word_of_whom_may_not_say_it_any_more_does_not_count",
    ),
    (
        "machine/accounts/accounts.py",
        '        return f"{self.id} {self.changed_at}"',
        "        return str(self.id)",
        "test_four_eyes.py::test_a_word_of_an_account_in_a_file_that_was_made_anew_does_not_count",
    ),
    (
        "machine/accounts/accounts.py",
        '        return f"{self.id} {self.changed_at}"',
        '        return f"{self.id} {self.made_at}"',
        "test_four_eyes.py::test_a_word_does_not_count_after_the_password_was_set_anew",
    ),
    (
        FOUR_EYES,
        " or not found.may_be_used(issuer=self._issuer):",
        ":",
        "test_four_eyes.py::test_a_word_of_whom_no_provider_vouches_for_here_any_more_does_not_count",
    ),
    # files of segments in the console
    (
        "partner_node/segments/wishes.py",
        "        Confirmations(store, people).forget(EXPORT, found[0].text)\n",
        "",
        "test_console_exports.py::test_one_person_refuses_a_file_and_both_ask_anew",
    ),
    (
        "partner_node/segments/wishes.py",
        " or len(digits) < _MIN_DIGITS:",
        ":",
        "test_console_exports.py::test_one_person_refuses_a_file_and_both_ask_anew",
    ),
    (
        "partner_node/console/exporting.py",
        "        if about not in said:\n",
        "        if not about:\n",
        "test_console_exports.py::test_a_second_person_agrees_to_the_same_file",
    ),
    (
        "partner_node/console/exporting.py",
        "if known is None or suffix not in _SUFFIXES:",
        "if known is None:",
        "test_console_exports.py::test_a_form_chooses_no_place_and_no_other_use",
    ),
    (
        "partner_node/console/exporting.py",
        "if may(role, Permission.EXPORT_SEGMENTS) else {}",
        "",
        "test_console_exports.py::test_a_second_person_agrees_to_the_same_file",
    ),
    # what waits undoes no decision, and is stopped with what is in force
    (
        "partner_node/agreeing.py",
        "        if moved and store.latest_agreement(agreement.id) is not None:\n",
        "        if False:\n",
        "test_waiting_versions.py::test_a_version_whose_section_is_gone_replaces_nothing",
    ),
    (
        "partner_node/cli/agreement.py",
        "    coming = [one for one in _waiting(home) if one.id == agreement.id]\n",
        "    coming: list[Agreement] = []\n",
        "test_waiting_versions.py::test_a_stop_is_of_the_version_that_waits_too",
    ),
    (
        "partner_node/agreeing.py",
        "        if home.all_are_read():\n",
        "        if True:\n",
        "test_waiting_versions.py::"
        "test_no_run_ends_under_an_agreement_that_cannot_be_read_when_another_takes_effect",
    ),
    (
        RETENTION,
        "        if home.all_are_read():\n",
        "        if True:\n",
        SEVERAL + "test_no_record_is_forgotten_while_an_agreement_cannot_be_read",
    ),
    # cosigned logs
    (
        COSIGNING,
        "        note.verified([Ed25519Verifier(key)])\n",
        "",
        COSIGNED + "test_what_is_not_signed_as_it_has_to_be_is_passed_over",
    ),
    (
        COSIGNING,
        "if state.origin != key.name or state.extensions or",
        "if",
        COSIGNED + "test_what_is_not_signed_as_it_has_to_be_is_passed_over",
    ),
    (
        COSIGNING,
        " or len(note.signatures) != 1",
        "",
        COSIGNED + "test_a_state_with_lines_of_strangers_or_of_a_stranger_is_passed_over",
    ),
    (
        COSIGNING,
        'if checker.holds(text, one.time.to_bytes(TIME_BYTES, "big") + one.signature):',
        "if True:",
        COSIGNED + "test_a_cosignature_counts_if_it_holds",
    ),
    (
        COSIGNING,
        "own.root == one.root",
        "True",
        COSIGNED + "test_a_cosignature_of_another_state_of_that_size_is_not_ours",
    ),
    (
        COSIGNING,
        "        if verdict is Verdict.NEWER:\n",
        "        if verdict in (Verdict.NEWER, Verdict.STOPPED):\n",
        COSIGNED + "test_a_log_with_two_histories_is_caught_and_followed_once_people_accept",
    ),
    (
        "partner_node/store/witnessed.py",
        "            forked=self.fork(party) is not None,\n",
        "",
        COSIGNED + "test_a_log_with_two_histories_is_caught_and_followed_once_people_accept",
    ),
    (
        "partner_node/store/witnessed.py",
        "left=frozenset((size, found) for own, size, found in states if own != branch),",
        "left=frozenset(),",
        COSIGNED + "test_a_log_with_two_histories_is_caught_and_followed_once_people_accept",
    ),
    (
        "partner_node/store/seals.py",
        "self._id, message) is not None:",
        "self._id, message) is not None and False:",
        COSIGNED + "test_a_request_again_gets_the_same_message_and_no_other_seal",
    ),
    (
        "partner_node/store/node_store.py",
        '            self.ask("ROLLBACK TO part")\n',
        "",
        COSIGNED + "test_what_fails_beside_a_message_is_undone_and_the_message_leaves",
    ),
    (
        "partner_node/store/node_store.py",
        "            self.log.account = owed\n",
        "",
        COSIGNED + "test_what_fails_beside_a_message_is_undone_and_the_message_leaves",
    ),
    (
        "partner_node/node.py",
        "if cleared.kind != HELLO:  # whoever",
        "if True:  # whoever",
        COSIGNED + "test_a_seal_is_a_state_of_the_log_and_its_number_tells_nothing_more",
    ),
    (
        "partner_node/egress/beside.py",
        "    note.verified([Ed25519Verifier(key)])\n",
        "",
        COSIGNED + "test_nothing_but_logs_passes_beside_a_message",
    ),
    (
        "partner_node/egress/beside.py",
        "    if state.origin != key.name or state.extensions or len(note.signatures) != 1:\n",
        "    if False:\n",
        COSIGNED + "test_nothing_but_logs_passes_beside_a_message",
    ),
    (
        "partner_node/egress/beside.py",
        "    strangers = sorted({one.party for one in told.cosigned} - others)\n",
        "    strangers: list[str] = []\n",
        COSIGNED + "test_nothing_but_logs_passes_beside_a_message",
    ),
    (
        "partner_node/egress/beside.py",
        "        if Told.from_bytes(data) != told:\n",
        "        if False:\n",
        COSIGNED + "test_nothing_but_logs_passes_beside_a_message",
    ),
    (
        "partner_node/sealed_copies.py",
        "if (tiles.size, root(tiles.size, tiles)) != (state.size, state.root):",
        "if False:",
        "test_log_witness.py::test_a_copys_seals_are_those_of_its_own_log",
    ),
    (
        "partner_node/sealed_copies.py",
        "if state.origin not in {key.name for key in own if key in found}:",
        "if False:",
        "test_log_witness.py::test_a_copy_whose_seals_the_log_did_not_sign_is_refused",
    ),
    (
        "partner_node/sealed_proofs.py",
        "if not is_whole or one.state.root != root(tiles.size, tiles):",
        "if False:",
        "test_log_witness.py::test_seals_that_were_changed_are_noticed",
    ),
    (
        "partner_node/client_app.py",
        "if message.metadata.group_id != READS_BESIDE:",
        "if False:",
        "test_client_app.py::test_what_is_said_of_logs_leaves_beside_it_where_the_coordinator_reads"
        "_that",
    ),
    (
        "partner_node/link/flower_link.py",
        "    if not isinstance(beside, bytes) or len(beside) > MAX_BESIDE_BYTES:\n"
        '        return error_content("E-INTERNAL")\n',
        '    if not isinstance(beside, bytes):\n        beside = b""\n',
        "test_flower_link.py::test_whatever_the_app_answers_only_one_bytes_field_or_one_code_leaves",
    ),
    (
        "partner_node/link/flower_link.py",
        "    if len(beside) > MAX_BESIDE_BYTES:\n",
        "    if False:\n",
        "test_flower_link.py::test_anything_but_one_bytes_field_is_malformed",
    ),
    (
        AUDIT_LOG,
        '        if not self._database.in_transaction:\n            raise _owed(f"an entry',
        '        if False:\n            raise _owed(f"an entry',
        LOGGED + "test_nothing_is_appended_outside_of_a_transaction",
    ),
    (
        AUDIT_LOG,
        '        if not self._database.in_transaction:\n            raise _owed(f"a row',
        '        if False:\n            raise _owed(f"a row',
        LOGGED + "test_nothing_is_appended_outside_of_a_transaction",
    ),
    (
        AUDIT_LOG,
        "        if owed:\n",
        "        if False:\n",
        LOGGED + "test_a_room_that_forgets_the_log_stores_nothing",
    ),
    (
        STORE,
        "                log.settle()\n",
        "                pass\n",
        LOGGED + "test_a_room_that_forgets_the_log_stores_nothing",
    ),
    (
        STORE,
        "                log.open_account()\n",
        "                pass\n",
        LOGGED + "test_a_room_that_forgets_the_log_stores_nothing",
    ),
    (
        AUDIT_LOG,
        "        self._owed[kind] -= 1\n",
        "        self._owed.clear()\n",
        LOGGED + "test_an_entry_of_another_kind_pays_for_nothing",
    ),
    (
        AUDIT_LOG,
        "        if times <= MAX_REFUSALS_A_DAY:\n",
        "        if True:\n",
        LOGGED + "test_refusals_fill_no_disk",
    ),
    (
        AUDIT_LOG,
        "        if not entry.is_known:\n",
        "        if False:\n",
        LOGGED + "test_an_entry_of_another_kind_pays_for_nothing",
    ),
    (
        "protocol/log/entries.py",
        'return reason if not reason or _CODE.fullmatch(reason) else "other"',
        "return reason",
        LOGGED + "test_words_of_people_are_not_in_the_log",
    ),
    (
        AUDIT_LOG,
        '    "UPDATE ON main.log_entries", "DELETE ON main.log_entries",\n',
        "",
        LOGGED + "test_no_statement_changes_or_removes_what_is_in_the_log",
    ),
    (
        "protocol/log/outside_facts.py",
        "        if not changed:\n",
        "        if True:\n",
        LOGGED + "test_settings_and_key_are_in_the_log_when_they_changed",
    ),
    (
        "partner_node/backup.py",
        "        mark_restored(database, made_at=made_at)\n",
        "        pass\n",
        "test_backup.py::test_the_log_says_that_a_state_was_put_back_or_began_anew",
    ),
    (
        "partner_node/served_nodes.py",
        "        _note_facts(home, store)\n",
        "",
        "test_backup.py::test_the_log_says_that_a_state_was_put_back_or_began_anew",
    ),
    (
        "protocol/log/showing.py",
        "    if checkpoint.origin not in {key.name for key in signers}:\n",
        "    if False:\n",
        "test_log_cli.py::test_a_checkpoint_of_another_key_is_refused",
    ),
    (
        "machine/named_files.py",
        "    if len(data) > most:\n",
        "    if False:\n",
        "test_log_cli.py::test_a_file_that_is_too_large_is_not_read",
    ),
    # receipts of being counted
    (
        "partner_node/node.py",
        "        if counted is not None and current.state is not before:",
        "        if counted is not None:",
        "test_counted.py::test_an_answer_that_another_process_gave_first_keeps_its_own_set",
    ),
    (
        "partner_node/receipts/counting.py",
        "        if noted != customers:\n",
        "        if False:\n",
        "test_counted.py::test_customers_that_are_not_noted_are_not_committed_to",
    ),
    (
        "partner_node/receipts/counting.py",
        "        self._sets.note_kept(self._keep, now=now)\n",
        "",
        "test_counted.py::test_where_no_sets_are_kept_nobody_is_said_not_to_be_counted",
    ),
    (
        "partner_node/receipts/counted_sets.py",
        "        if (row is None or bool(row[0])) is kept:\n",
        "        if True:\n",
        "test_counted.py::test_where_no_sets_are_kept_nobody_is_said_not_to_be_counted",
    ),
    (
        "partner_node/receipts/counted_sets.py",
        " AND run_id NOT IN (SELECT run_id FROM runs WHERE phase NOT IN ('done', 'aborted'))",
        "",
        "test_counted.py::test_sets_of_a_run_that_goes_on_stay",
    ),
    (
        "partner_node/receipts/counted_sets.py",
        "own[rows][unpack(marks, part.count)[rows]]",
        "own[rows]",
        "test_counted.py::test_whoever_objects_between_rounds_has_it_proved_from_the_next_round_on",
    ),
    (
        "partner_node/receipts/handle_files.py",
        "            if path.name not in kept:\n",
        "            if False:\n",
        "test_counted.py::test_sets_are_forgotten_with_the_records_of_their_run",
    ),
    (
        "partner_node/receipts/handle_files.py",
        "(beside[places] == some).all(axis=1)",
        "(beside[places] == some)[:, 0]",
        "test_counted.py::test_handles_that_begin_alike_are_told_apart",
    ),
    (
        "partner_node/customers/kept_customers.py",
        "            noted.add(self.handles[rows])\n",
        "            noted.add(self.handles)\n",
        "test_counted.py::test_whoever_objects_between_rounds_has_it_proved_from_the_next_round_on",
    ),
    (
        "partner_node/customers/source_customers.py",
        "        hashing = (permitted.hashing, None if noted is None else noted.hashing)\n",
        "        hashing = permitted.hashing\n",
        "test_counted.py::test_handles_of_one_run_are_not_those_of_the_next",
    ),
    (
        "partner_node/rights/counted.py",
        "    return found if len(found) == len(parts) else None\n",
        "    return found\n",
        "test_counted.py::test_files_that_are_gone_are_said_and_nothing_is_proved_with_less",
    ),
    (
        "partner_node/rights/counted.py",
        " if one.times > 0",
        " if False",
        "test_counted.py::test_where_no_sets_are_kept_nobody_is_said_not_to_be_counted",
    ),
    (
        "partner_node/rights/counted.py",
        "left=written is None or written.times > 0",
        "left=True",
        "test_counted.py::test_an_answer_that_was_held_and_refused_is_said_never_to_have_left",
    ),
    (
        "partner_node/store/audit_log.py",
        "    \"INSERT ON main.counted_sets BEGIN SELECT fedseg_owes('counted')\",\n",
        "",
        "test_audit_log.py::test_a_room_that_forgets_the_log_stores_nothing",
    ),
    (
        "machine/modes.py",
        '"closed to other accounts" if not mode & 0o077 else "OPEN TO OTHER ACCOUNTS"',
        '"closed to other accounts"',
        "test_evidence.py::test_a_file_that_others_may_read_is_told_as_it_is",
    ),
    (
        "partner_node/evidence/measured.py",
        '    if not isinstance(kdf, dict) or "log2_n" not in kdf:\n        return ""\n',
        '    kdf = kdf or {"log2_n": 17}\n',
        "test_evidence.py::test_a_key_store_or_authority_that_cannot_be_read_is_not_asserted",
    ),
    (
        "partner_node/evidence/materials.py",
        "            agreement=agreement.id if kind == kinds.QUESTION else None,\n",
        "            agreement=None,\n",
        "test_evidence.py::test_of_several_agreements_a_document_counts_the_questions_of_its_own",
    ),
    (
        "partner_node/customers/source_customers.py",
        "            for ids, vectors in self.identified():\n                _note(noted, ids)\n",
        "            for ids, vectors in self.identified():\n",
        "test_counted.py::"
        "test_all_who_may_be_counted_are_noted_also_where_nothing_is_kept_and_of_scores",
    ),
    (
        "partner_node/customers/source_customers.py",
        "            _note(noted, ids)\n            yield with_scores",
        "            yield with_scores",
        "test_counted.py::"
        "test_all_who_may_be_counted_are_noted_also_where_nothing_is_kept_and_of_scores",
    ),
    (
        "partner_node/consent/local_rules.py",
        "        refuse_untold(self._agreement, self._party, self._published(), own.notices)\n",
        "",
        NOTICES
        + "test_an_agreement_that_changed_is_answered_when_the_published_notice_tells_of_it",
    ),
    (
        "partner_node/notices/telling.py",
        "    if not any(one.version == agreed for one in current):\n",
        "    if False:\n",
        NOTICES + "test_a_version_that_was_not_published_is_refused_once_another_was",
    ),
    (
        "partner_node/notices/telling.py",
        "if one.version in (agreed, *counted) else []\n",
        "if one.version == agreed else []\n",
        NOTICES
        + "test_a_new_version_of_the_notice_is_published_before_the_agreement_comes_into_force",
    ),
    (
        "partner_node/notices/telling.py",
        "        if not untold:\n",
        "        if True:\n",
        NOTICES
        + "test_an_agreement_that_changed_is_answered_when_the_published_notice_tells_of_it",
    ),
    (
        "partner_node/notices/published.py",
        "        found[one.version, one.language] = one\n",
        '        found[one.version, ""] = one\n',
        NOTICES + "test_notices_in_several_languages_stand_side_by_side",
    ),
    (
        "partner_node/notices/published.py",
        "        self._refuse_other_facts(published)\n",
        "",
        NOTICES + "test_a_version_is_published_with_one_set_of_facts",
    ),
    (
        "partner_node/notices/publishing.py",
        "    if not visible.is_whole(mark, words):\n",
        "    if False:\n",
        NOTICES + "test_a_notice_of_which_words_were_changed_is_not_published",
    ),
    (
        "partner_node/notices/publishing.py",
        "!= agreed or not visible.says(mark, facts.hash):\n",
        "!= agreed:\n",
        NOTICES + "test_a_notice_of_another_agreement_is_not_published",
    ),
    (
        "partner_node/notices/publishing.py",
        "    if missing:\n",
        "    if False:\n",
        NOTICES + "test_a_text_of_ones_own_is_published_when_each_fact_is_confirmed",
    ),
    (
        "partner_node/notices/facts.py",
        "    if unsaid:\n",
        "    if False:\n",
        WORDED + "test_an_agreement_that_does_not_say_what_has_to_be_told_gets_no_notice",
    ),
    (
        "partner_node/notices/facts.py",
        "        if told.totals == NOISED and self.totals == EXACT:\n",
        "        if False:\n",
        WORDED + "test_exact_totals_are_told_by_no_notice_of_noise",
    ),
    (
        "partner_node/notices/words.py",
        "            if says != texts[key]:\n",
        "            if False:\n",
        WORDED + "test_own_words_for_what_an_agreement_said_once_are_refused_and_can_be_sorted_out",
    ),
    (
        "partner_node/notices/written.py",
        "autoescape=True",
        "autoescape=False",
        WORDED + "test_the_page_runs_and_loads_nothing",
    ),
    (
        "partner_node/store/audit_log.py",
        "    \"INSERT ON main.notices BEGIN SELECT fedseg_owes('notice')\",\n",
        "",
        LOGGED + "test_a_room_that_forgets_the_log_stores_nothing",
    ),
    # duties
    (
        "partner_node/duties/all.py",
        'trouble = "" if home.all_are_read() else',
        'trouble = "" if True else',
        "test_duties.py::test_an_agreement_that_cannot_be_read_is_overdue_and_the_rest_is_told",
    ),
    (
        "partner_node/duties/agreements.py",
        "    if stop is None:\n",
        "    if True:\n",
        "test_duties.py::test_a_duty_stands_as_the_facts_are",
    ),
    (
        "partner_node/duties/customers.py",
        "        is_private=True,\n",
        "",
        "test_duties.py::test_metrics_have_names_and_states_and_no_date_of_a_request",
    ),
    # training
    (
        "partner_node/signing.py",
        "        check_trained(store, agreement, by, now)\n",
        "",
        "test_staff.py::test_nobody_signs_without_the_training_that_the_agreement_demands",
    ),
    (
        "partner_node/consent/local_rules.py",
        "        if self._agreement.training:\n",
        "        if False:\n",
        "test_staff.py::test_a_node_where_nobody_is_trained_answers_nothing_and_check_says_so",
    ),
    (
        "partner_node/egress/deciding.py",
        "        if DECISIONS[word] == APPROVED:\n",
        "        if False:\n",
        "test_staff.py::test_nobody_approves_or_writes_files_without_it",
    ),
    (
        "partner_node/store/staff.py",
        "        return self.on <= today <= self.until\n",
        "        return True\n",
        "test_staff.py::test_whose_training_holds_is_decided_by_days_and_by_the_person",
    ),
    (
        "partner_node/segments/exports.py",
        "                check_trained(store, one, by, now)\n",
        "                pass\n",
        "test_staff.py::test_nobody_writes_a_file_without_it",
    ),
    (
        COSIGNING,
        "        if one.time > self._now.timestamp() + CLOCKS_S:\n",
        "        if False:\n",
        COSIGNED + "test_a_cosignature_that_is_dated_ahead_waits_until_clocks_agree",
    ),
]
