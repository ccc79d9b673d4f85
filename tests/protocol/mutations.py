"""Guards taken out one at a time, each with a test that has to notice.

A mutation is `(file, text, replacement, test)`: the text occurs once in the file.
"""

from __future__ import annotations

PARTNER = "protocol/partner_round.py"
PARTNER_STATE = "protocol/partner_state.py"
COORDINATOR = "protocol/coordinator_round.py"
SETS = "protocol/participants.py"
MESSAGES = "protocol/messages.py"
QUERIES = "protocol/queries.py"
AGREEMENT = "protocol/agreement/document.py"
SIGNED = "protocol/signed_agreement.py"
RULES = "protocol/agreement_rules.py"
GOVERNANCE = "protocol/agreement/governance.py"
MECHANISMS = "protocol/privacy/mechanisms.py"
ACCOUNTING = "protocol/privacy/accounting.py"
LEDGER = "protocol/privacy/ledger.py"
PRIVATE = "protocol/noised_queries.py"
CHOICE = "protocol/clustering/choose_k.py"
FINISH = "protocol/clustering/finish.py"
FOLLOW_UP = "protocol/clustering/follow_up.py"
HYBRID = "protocol/clustering/hybrid_dp.py"
EXACT = "protocol/clustering/lloyd_exact.py"
LOCAL_SUMS = "protocol/clustering/local_sums.py"
RELEASE = "protocol/release/document.py"
LAST = "protocol/release/last.py"
SATISFACTION = "protocol/agreement/satisfaction.py"
SCORED = "protocol/release/satisfaction.py"
CANONICAL = "protocol/canonical.py"
SIGNING = "protocol/signing.py"
AUTHORITIES = "protocol/control/authorities.py"

LIES = "test_hostile_coordinator.py::"
SET_RULES = "test_participants.py::"
TOTALS = "test_queries.py::test_a_total_that_cannot_be_true_is_refused"
RELEASES = "test_release.py::"
STARTS = "test_last_release.py::"
FOLLOWING = "clustering/test_follow_up.py::"
DROPS = "clustering/test_drop_outs.py::"
AGREED = "test_agreement.py::"
FRAMES = "test_canonical.py::"
NOISE = "test_noise_in_rounds.py::"
PRIVACY_AGREED = "test_agreement_privacy.py::"
STRICT = "test_strict.py::"
PLANS = "clustering/test_plans_with_noise.py::"
CHOSEN = "clustering/test_choose_k.py::"
CLEAR = CHOSEN + "test_a_number_is_told_when_it_is_clear_and_more_is_clearly_not_there"

NEVER = "if False:"
SCHEDULE = "protocol/agreement/schedule.py"
MOMENTS = "test_schedule.py::"
SOFTWARE = "protocol/agreement/software.py"
ADDED = "protocol/agreement/added_build.py"
BUILT = "test_added_builds.py::"
HAND_OVER = "protocol/agreement/hand_over.py"
HAND_OVERS = "protocol/agreement/hand_overs.py"
IN_FORCE = "protocol/agreement/keys.py"
STOPS = "protocol/agreement/stop.py"
HANDED = "test_hand_overs.py::"
KEYED = "test_rotated_keys.py::"
DILIGENCE = "protocol/agreement/diligence.py"
DILIGENT = "test_diligence.py::"

MUTATIONS: list[tuple[str, str, str, str]] = [
    # keys that are handed over
    (
        HAND_OVER,
        "        if missing:\n            raise _unsigned",
        "        if False:\n            raise _unsigned",
        HANDED + "test_both_keys_have_to_sign_and_nobody_else",
    ),
    (
        HAND_OVER,
        "if len(self.envelope.signatures) != len(keys):",
        NEVER,
        HANDED + "test_both_keys_have_to_sign_and_nobody_else",
    ),
    (
        HAND_OVER,
        "        found._check_signatures()\n",
        "",
        HANDED + "test_a_signature_over_another_text_is_refused",
    ),
    (
        HAND_OVER,
        "if self.old_key == self.new_key:",
        NEVER,
        HANDED + "test_a_key_is_not_handed_over_to_itself",
    ),
    (
        HAND_OVERS,
        "if other is not None:",
        NEVER,
        HANDED + "test_a_second_hand_over_from_one_key_is_refused_and_both_are_shown",
    ),
    (
        HAND_OVERS,
        "if one.new_key in self._to or (after is not None and not late):",
        NEVER,
        HANDED + "test_a_key_that_was_handed_over_does_not_come_back",
    ),
    (
        HAND_OVERS,
        "late = after is not None and after.follows(one)",
        "late = after is not None",
        HANDED + "test_one_that_comes_after_the_one_that_follows_it_is_put_before_it",
    ),
    (
        HAND_OVERS,
        "if before is not None and one.partner != before.partner:",
        NEVER,
        HANDED + "test_a_chain_stays_with_one_partner",
    ),
    (
        HAND_OVERS,
        "if before is not None and one.number != before.number + 1:",
        NEVER,
        HANDED + "test_numbers_follow_each_other",
    ),
    (
        HAND_OVERS,
        "if len(self.all) >= MAX_COUNT:",
        NEVER,
        HANDED + "test_no_more_are_known_than_a_list_takes",
    ),
    (
        HAND_OVERS,
        "if number > MAX_NUMBER:",
        NEVER,
        HANDED + "test_no_key_is_handed_over_for_ever",
    ),
    (
        HAND_OVERS,
        "            if one.partner != partner:",
        "            if False:",
        HANDED + "test_a_hand_over_is_of_the_party_that_has_the_key",
    ),
    (
        IN_FORCE,
        "if twice is not None and keys.handed_over:",
        NEVER,
        HANDED + "test_no_key_becomes_that_of_another_party",
    ),
    (
        AGREEMENT,
        "if keys[-1] == public_key:",
        "if public_key in keys:",
        HANDED + "test_a_key_that_was_handed_over_is_no_partys_any_more",
    ),
    (
        PARTNER,
        "if named.keys.in_force != self.agreement.keys.in_force:",
        NEVER,
        KEYED + "test_a_run_under_keys_that_are_over_is_refused",
    ),
    (
        PARTNER,
        "if request.hand_overs != state.hand_overs:",
        NEVER,
        KEYED + "test_a_run_is_not_opened_again_under_other_keys",
    ),
    (
        PARTNER,
        "            keys=self.agreement.keys.hash,\n",
        "",
        KEYED + "test_a_run_under_new_keys_ends_with_a_release_that_holds",
    ),
    (
        MESSAGES,
        "of_keys = (keys,) if keys else ()",
        "of_keys = ()",
        KEYED + "test_partners_that_are_told_of_different_keys_never_form_a_set",
    ),
    (
        PARTNER,
        "if self._key_of(self._me) != public_bytes(self._key):",
        NEVER,
        KEYED + "test_a_run_on_foot_is_refused_by_whoever_handed_its_key_over_since",
    ),
    (
        PARTNER,
        "agreement = agreement.with_hand_overs(HandOvers.from_bytes(state.hand_overs))",
        "pass",
        KEYED + "test_a_run_on_foot_ends_under_the_keys_with_which_it_began",
    ),
    (
        RELEASE,
        "party.id: had[-1:] if in_force else had",
        "party.id: had",
        KEYED + "test_a_key_that_was_handed_over_signs_no_new_release",
    ),
    (
        ADDED,
        "keys if kept else keys[-1:]",
        "keys",
        KEYED + "test_a_build_that_is_new_is_signed_with_the_key_in_force",
    ),
    # how many segments
    (
        CHOICE,
        "visible >= _VISIBLE_IF_NONE and ",
        "",
        CHOSEN + "test_what_the_noise_hides_is_not_told",
    ),
    (CHOICE, "return visible >= _VISIBLE and clear", "return clear", CLEAR),
    (CHOICE, " and max(more, default=_NO_GAPS) <= _NO_GAPS", "", CLEAR),
    (CHOICE, "min(own) >= _CLEAR and ", "", CLEAR),
    (CHOICE, " and max(more, default=_NO_MORE) <= _NO_MORE", "", CLEAR),
    (
        CHOICE,
        "variance = atoms.spread / places.shape[1]",
        "variance = 0.0",
        CHOSEN + "test_without_the_width_of_the_atoms_one_cloud_would_look_like_groups",
    ),
    (
        CHOICE,
        "variance = self.atoms.sigma**2 + np.maximum(counts, 0.0)",
        "variance = np.maximum(counts, 1.0)",
        CHOSEN + "test_a_gap_score_is_in_standard_deviations_of_the_noise_and_of_sampling",
    ),
    # requests
    (
        MESSAGES,
        '    verify(coordinator_key, "request", body, signature, who="the coordinator")\n',
        "",
        LIES + "test_a_request_that_nobody_signed_is_refused",
    ),
    (
        SIGNING,
        '_verify_raw(public_key, frame(label("sig/" + name), body)',
        '_verify_raw(public_key, frame(label("sig/hello"), body)',
        LIES + "test_a_request_signed_for_another_purpose_is_refused",
    ),
    (
        MESSAGES,
        "if len(data) > limits.MAX_REQUEST_BYTES:",
        NEVER,
        LIES + "test_an_oversize_request_is_refused_unread",
    ),
    (
        PARTNER,
        "if agreement_hash != self.agreement.hash:",
        NEVER,
        LIES + "test_an_open_under_another_agreement_is_refused",
    ),
    # where a run starts
    (
        LAST,
        "if last is not None and not agreement.plan.start:",
        NEVER,
        STARTS + "test_a_partner_that_holds_a_release_starts_no_run_anew",
    ),
    (
        LAST,
        "    if agreement.plan.start:\n",
        "    if False:\n",
        STARTS + "test_where_runs_are_agreed_to_start_anew_no_release_is_named_or_taken",
    ),
    (
        LAST,
        "SignedRelease.from_bytes(envelope).verify(agreement)",
        "SignedRelease.from_bytes(envelope).release",
        STARTS + "test_a_release_that_is_not_signed_by_all_of_its_participants_starts_no_run",
    ),
    (
        LAST,
        "place < places.get(last.run_hash, 0)",
        "place < 0",
        STARTS + "test_a_partner_that_holds_a_release_starts_from_no_older_one",
    ),
    (
        LAST,
        "places.get(release.run_hash, len(places))",
        "places.get(release.run_hash, -1)",
        STARTS + "test_a_partner_whose_chain_ends_earlier_takes_a_release_of_a_run_without_it",
    ),
    (
        LAST,
        "if release.start is not None and release.start.changed:",
        NEVER,
        STARTS + "test_a_release_that_says_that_customers_changed_is_not_followed",
    ),
    (
        LAST,
        "if agreement.privacy is None or found is None:",
        "if agreement.privacy is None:",
        FOLLOWING + "test_a_noised_release_that_does_not_say_how_far_customers_lie_is_not_followed",
    ),
    *(
        (FOLLOW_UP, text, without, FOLLOWING + test)
        for text, without, test in (
            (
                "        check_range(self.query, total, customers=customers, variance=variance)\n",
                "",
                "test_a_total_that_cannot_be_true_is_refused",
            ),
            (
                "comparable = customers == self.distances_of",
                "comparable = True",
                "test_a_partner_that_drops_out_between_distances_and_sums_is_no_change",
            ),
            (
                "changed=comparable and self._changed(found.counts, found.count_sigma),",
                "changed=False,",
                "test_a_difference_within_noise_and_sampling_is_no_change_whichever_way_it_goes",
            ),
            (
                "abs(now - before)",
                "now - before",
                "test_a_difference_within_noise_and_sampling_is_no_change_whichever_way_it_goes",
            ),
            (
                " - followed.uncounted / n_before",
                "",
                "test_customers_of_withheld_clusters_who_count_again_are_no_change",
            ),
            (
                "n = max(total_of(counts), n_sigma, 1.0)",
                "n = n_before",
                "test_more_customers_of_the_same_kind_are_no_change",
            ),
        )
    ),
    (
        FINISH,
        "if customers == found.answered[-1].customers:",
        "if True:",
        FOLLOWING
        + "test_no_mean_distance_is_stated_when_a_partner_drops_out_between_sizes_and_distances",
    ),
    # a partner that drops out between two questions
    *(
        (file, text, without, DROPS + test)
        for file, text, without, test in (
            (
                HYBRID,
                "if customers != self.n_of:",
                NEVER,
                "test_no_number_of_groups_is_told_from_distances_of_fewer_partners_than_the_counts",
            ),
            (
                HYBRID,
                "if customers == self.n_of:",
                "if True:",
                "test_all_customers_are_counted_anew_once_a_partner_dropped_out",
            ),
            (
                HYBRID,
                "Shares.of(self.terms, self.counted,",
                "Shares.of(self.terms, self.n,",
                "test_all_customers_are_counted_anew_once_a_partner_dropped_out",
            ),
            (
                HYBRID,
                "comparable=customers == self.n_of,",
                "comparable=True,",
                "test_counts_of_more_partners_are_not_fused_with_those_of_fewer",
            ),
            (
                LOCAL_SUMS,
                "if not comparable:",
                NEVER,
                "test_counts_of_more_partners_are_not_fused_with_those_of_fewer",
            ),
            (
                EXACT,
                "same = self.customers in (0, customers)",
                "same = True",
                "test_inertia_of_fewer_partners_customers_is_not_taken_for_a_better_one",
            ),
            (
                RELEASE,
                "last |= dict.fromkeys(those - members, answered.what)",
                "pass",
                "test_who_left_is_said_with_what_counts_its_customers",
            ),
        )
    ),
    (
        RELEASE,
        "if len(left) < len(release.left) or not left <= others:",
        NEVER,
        RELEASES + "test_only_parties_that_do_not_sign_can_have_left",
    ),
    (
        PARTNER,
        "if named != state.start:",
        NEVER,
        STARTS + "test_a_run_is_not_opened_again_with_another_release",
    ),
    (
        MESSAGES,
        "run_id, frame(*hellos), last, *of_keys)",
        "run_id, frame(*hellos), *of_keys)",
        STARTS + "test_partners_that_are_told_of_different_releases_never_form_a_set",
    ),
    (
        PARTNER,
        "if state.joined is None or hashed != state.joined.run_hash:",
        "if state.joined is None:",
        LIES + "test_a_round_of_another_run_is_refused",
    ),
    (
        PARTNER,
        "if state.phase == Phase.ABORTED:",
        NEVER,
        LIES + "test_a_set_below_the_quorum_is_refused",
    ),
    # roster
    (
        PARTNER,
        'if request.run_id != state.run_id:\n            raise RemoteProtocolError("roster',
        'if False:\n            raise RemoteProtocolError("roster',
        LIES + "test_a_roster_of_another_run_is_refused",
    ),
    (
        PARTNER,
        'if request.run_id != state.run_id:\n            raise RemoteProtocolError("this run',
        'if False:\n            raise RemoteProtocolError("this run',
        LIES + "test_an_open_for_another_run_does_not_get_this_runs_hello",
    ),
    (
        PARTNER,
        "hello = Hello.verified(message, public_key=self._key_of(index), who=party.id)",
        "hello = Hello.parse(message)[0]",
        LIES + "test_a_key_swapped_in_a_hello_is_refused",
    ),
    (
        PARTNER,
        """                self.agreement.hash,
                state.run_id,
                index,
            ):""",
        """                self.agreement.hash,
                hello.run_id,
                index,
            ):""",
        LIES + "test_a_hello_replayed_from_another_run_is_refused",
    ),
    (
        PARTNER,
        """                self.agreement.hash,
                state.run_id,
                index,
            ):""",
        """                hello.agreement_hash,
                state.run_id,
                index,
            ):""",
        LIES + "test_a_hello_replayed_from_another_agreement_is_refused",
    ),
    (
        PARTNER,
        """                state.run_id,
                index,
            ):""",
        """                state.run_id,
                hello.partner,
            ):""",
        LIES + "test_a_hello_in_another_partners_place_is_refused",
    ),
    (
        PARTNER,
        "if messages[self._me] != state.hello:",
        NEVER,
        LIES + "test_a_partner_whose_own_hello_was_changed_refuses",
    ),
    (
        PARTNER,
        "if len(messages) != self.agreement.n_partners:",
        NEVER,
        LIES + "test_a_roster_with_another_number_of_places_is_refused",
    ),
    (
        PARTNER,
        "if request.hellos != state.joined.hellos:",
        NEVER,
        LIES + "test_a_second_roster_for_the_same_run_is_refused",
    ),
    (
        PARTNER,
        "if chain.last.members != frozenset(hellos):",
        NEVER,
        LIES + "test_a_first_set_that_is_not_the_roster_is_refused",
    ),
    (
        PARTNER,
        "if sum(link.run_hash == hashed for link in chain.links) != 1:",
        NEVER,
        LIES + "test_a_roster_that_brings_a_later_set_along_is_refused",
    ),
    (
        PARTNER,
        "self._rules.check(chain, signed=self.chain, run_hash=hashed)\n        if",
        "if",
        LIES + "test_a_forked_chain_is_refused_across_runs",
    ),
    (
        MESSAGES,
        'return tagged_hash("run", agreement_hash, run_id, frame(*hellos), last, *of_keys)',
        'return tagged_hash("run", agreement_hash, run_id, last, *of_keys)',
        LIES + "test_two_partners_with_different_rosters_never_form_a_set",
    ),
    # participant sets
    (
        PARTNER,
        "            self._rules.check(chain, signed=self.chain, run_hash=hashed)\n            if",
        "            if",
        LIES + "test_a_set_that_leaves_out_one_partner_is_refused",
    ),
    (
        PARTNER,
        "if self._me not in chain.last.members:",
        NEVER,
        LIES + "test_a_set_without_the_partner_that_should_sign_it_is_refused",
    ),
    (
        PARTNER,
        "if self.chain.last.run_hash != hashed:",
        NEVER,
        LIES + "test_a_set_of_a_later_run_is_not_opened_in_an_earlier_one",
    ),
    (
        SETS,
        "if not links or links[-1].run_hash != run_hash:",
        "if not links:",
        SET_RULES + "test_rule_a_the_chain_ends_in_the_run_that_asks",
    ),
    (
        SETS,
        "if links[: len(signed.links)] != signed.links:",
        NEVER,
        SET_RULES + "test_rule_a_the_chain_extends_the_one_signed_before",
    ),
    (
        SETS,
        "if len(link.members) < self.smallest:",
        NEVER,
        SET_RULES + "test_rule_b_every_new_set_reaches_the_quorum",
    ),
    (
        SETS,
        "for link in links[len(signed.links) :]:",
        "for link in links[-1:]:",
        LIES + "test_a_set_below_the_quorum_hidden_inside_the_chain_is_refused",
    ),
    (
        SETS,
        "if smallest_atom < self.min_atom:",
        NEVER,
        SET_RULES + "test_rule_c_the_sets_keep_min_atom_partners_together",
    ),
    (
        SETS,
        "for atom in atoms([link.members for link in links]))",
        "for atom in atoms([link.members for link in links[-1:]]))",
        LIES + "test_a_second_run_cannot_isolate_by_another_set_than_the_first",
    ),
    (
        SETS,
        "if changes > self.max_changes:",
        NEVER,
        SET_RULES + "test_rule_d_the_set_changes_as_often_as_agreed",
    ),
    (
        SETS,
        "if not after.members < before.members:",
        NEVER,
        LIES + "test_a_set_that_grows_in_a_run_is_refused",
    ),
    (
        SETS,
        "elif after.run_hash in seen:",
        "elif False:",
        LIES + "test_a_run_taken_up_again_behind_a_later_one_is_refused",
    ),
    (
        SETS,
        "if len(links) > limits.MAX_CHAIN_LINKS:",
        NEVER,
        SET_RULES + "test_a_chain_that_is_full_is_refused",
    ),
    (
        SETS,
        "            link.run_hash,\n            u32(index),",
        "            u32(index),",
        SET_RULES + "test_every_field_of_a_link_changes_the_head",
    ),
    # certificates
    (
        PARTNER,
        "if certificate is None:",
        NEVER,
        LIES + "test_a_set_without_a_certificate_is_not_answered",
    ),
    (
        PARTNER,
        "if not members <= set(found):",
        NEVER,
        LIES + "test_a_certificate_without_one_members_ready_is_refused",
    ),
    (
        PARTNER,
        "            Ready.verified(message, public_key=self._key_of(ready.partner), "
        "who=party.id)\n",
        "",
        LIES + "test_a_ready_signed_by_somebody_else_is_refused",
    ),
    (
        PARTNER,
        "if (ready.run_hash, ready.head) != (joined.run_hash, joined.first_head):",
        NEVER,
        LIES + "test_a_ready_for_another_run_or_set_is_refused",
    ),
    (
        PARTNER,
        "if len(ciphertexts) != len(higher):",
        NEVER,
        LIES + "test_a_ready_that_lacks_ciphertexts_is_refused",
    ),
    (
        PARTNER,
        "            self._verify_accepts(joined, certificate.accepts, members, head)",
        "            pass",
        LIES + "test_a_smaller_set_without_one_members_accept_is_not_answered",
    ),
    (
        PARTNER,
        "            Accept.verified(message, public_key=self._key_of(accept.partner), "
        "who=party.id)\n",
        "",
        LIES + "test_an_accept_signed_by_somebody_else_is_refused",
    ),
    (
        PARTNER,
        "if last is not None and number == last.round and answer_hash != last.answer_hash:",
        NEVER,
        LIES + "test_a_round_asked_again_is_not_answered_when_the_customers_changed",
    ),
    (
        PARTNER,
        "if (accept.run_hash, accept.head) != (joined.run_hash, head):",
        NEVER,
        LIES + "test_an_accept_for_another_run_or_set_is_refused",
    ),
    (
        PARTNER,
        "if request.head != self.chain.head:",
        NEVER,
        LIES + "test_a_round_under_a_set_that_is_not_the_newest_is_refused",
    ),
    # rounds
    (
        PARTNER,
        "if payload.step_hash != step_hash(plan):",
        NEVER,
        LIES + "test_a_query_that_does_not_follow_from_the_transcript_is_refused",
    ),
    (
        PARTNER,
        "if digest != state.last.payload_hash:",
        NEVER,
        LIES + "test_a_second_payload_for_a_round_is_refused",
    ),
    (
        PARTNER,
        "elif request.round != self.round + 1:",
        "elif request.round < self.round:",
        LIES + "test_a_skipped_round_is_refused",
    ),
    (
        PARTNER,
        "elif request.round != self.round + 1:",
        "elif request.round > self.round + 1:",
        LIES + "test_a_round_that_is_over_is_refused",
    ),
    (
        PARTNER,
        "elif state.plan is not None and state.plan.result is not None:",
        "elif False:",
        LIES + "test_a_round_after_the_plan_has_ended_is_refused",
    ),
    (
        PARTNER,
        "            if payload.transcript:",
        "            if False:",
        LIES + "test_a_transcript_in_round_0_is_refused",
    ),
    (
        PARTNER,
        "if answer is None or [m.partner for m in masked] != sorted(answer.members):",
        "if answer is None:",
        LIES + "test_a_transcript_with_other_partners_or_order_is_refused",
    ),
    (
        PARTNER,
        "if transcript[sorted(answer.members).index(self._me)] != answer.reply:",
        NEVER,
        LIES + "test_a_partners_own_message_altered_in_the_transcript_is_refused",
    ),
    (
        PARTNER,
        "                Masked.verified(\n"
        "                    message, length=length, public_key=self._key_of(m.partner), "
        "who=party.id\n                )",
        "                pass",
        LIES + "test_an_altered_vector_in_the_transcript_is_refused",
    ),
    (
        MESSAGES,
        "    return frame(header, hashlib.sha256(vector).digest())",
        "    return frame(header)",
        LIES + "test_an_altered_vector_in_the_transcript_is_refused",
    ),
    (
        MESSAGES,
        'return tagged_hash("ctx", run_hash, head, u32(number), hashlib.sha256(payload).digest())',
        'return tagged_hash("ctx", run_hash, head, u32(number))',
        LIES + "test_another_centroid_for_one_partner_turns_the_total_into_noise",
    ),
    (
        PARTNER,
        """query_of(ask.plan)
        said = self._said(state, ask.announce)
        if said is not None:
            return said
""",
        "query_of(ask.plan)\n",
        LIES + "test_one_mask_never_covers_two_answers",
    ),
    (
        PARTNER,
        "        if said is not None:\n            return said\n"
        "        self._check_unfinished(state)\n",
        "        if state.last is not None:\n"
        "            self.state = state = replace(state, last=replace(state.last, answers=()))\n"
        "        self._check_unfinished(state)\n",
        LIES + "test_a_repeated_announcement_gets_the_same_bytes_though_the_customers_changed",
    ),
    (
        PARTNER,
        "if state.phase != Phase.RUNNING or ask.announce.head != self.chain.head or not in_order:",
        NEVER,
        LIES + "test_an_answer_that_comes_after_its_round_is_not_masked",
    ),
    (
        PARTNER_STATE,
        "kw_only=True, repr=False)",
        "kw_only=True)",
        "test_partner_state.py::test_nothing_that_prints_a_state_prints_its_secrets",
    ),
    (
        PARTNER_STATE,
        "secret: bytes = field(repr=False)",
        "secret: bytes",
        "test_partner_state.py::test_nothing_that_prints_a_state_prints_its_secrets",
    ),
    *(
        (
            PARTNER_STATE,
            f"    {name}\n",
            "",
            LIES + "test_the_secrets_of_a_run_are_forgotten_at_its_end",
        )
        for name in (
            '"x_private": "",',
            '"kem_seed": "",',
            '"noise_secret": "",',
            '"kem_secrets": {},',
            '"pair_keys": {},',
        )
    ),
    (
        PARTNER_STATE,
        "aborted_with=aborted_with, secrets=None)",
        "aborted_with=aborted_with)",
        LIES + "test_the_secrets_of_a_run_are_forgotten_at_its_end",
    ),
    (
        PARTNER,
        "        if state.phase == Phase.DONE:\n",
        "        if False:\n",
        LIES + "test_a_finished_run_masks_nothing_more",
    ),
    # totals
    (QUERIES, "(counts > customers).any() or int(counts.sum()) > customers", "False", TOTALS),
    (QUERIES, "            too_large.any()\n            or ", "            ", TOTALS),
    (QUERIES, "            or (squares < 0).any()\n", "", TOTALS),
    (QUERIES, " | (totals.sums < -most)", "", TOTALS),
    (
        QUERIES,
        "(totals.sums > most) | (totals.sums < -most)",
        "np.abs(totals.sums) > most",
        LIES + "test_a_total_out_of_range_voids_the_round",
    ),
    (QUERIES, "or (squares > counts * per_customer[self.n_features]).any()", "", TOTALS),
    # release
    (
        PARTNER,
        "release = signed.verify(self.agreement, in_force=True)",
        "release = signed.release",
        LIES + "test_a_release_with_a_missing_signature_is_refused",
    ),
    (
        PARTNER,
        "if release.run_hash != joined.run_hash:",
        NEVER,
        LIES + "test_a_release_of_something_else_is_refused",
    ),
    (
        RELEASE,
        "        if missing:\n",
        "        if False:\n",
        RELEASES + "test_a_release_that_a_participant_did_not_sign_is_refused",
    ),
    (
        RELEASE,
        "if unknown or len(set(release.participants)) < agreement.smallest_set:",
        "if unknown or len(release.participants) < agreement.smallest_set:",
        RELEASES + "test_a_release_that_breaks_the_agreement_is_refused",
    ),
    (
        RELEASE,
        "if release.agreement_hash != agreement.hash:",
        NEVER,
        RELEASES + "test_a_release_that_breaks_the_agreement_is_refused",
    ),
    (
        RELEASE,
        "if count >= least[i]",
        "if count >= 0",
        RELEASES + "test_small_clusters_are_withheld_entirely",
    ),
    # agreement
    (
        SIGNED,
        "        if missing:\n",
        "        if False:\n",
        AGREED + "test_an_unsigned_agreement_is_refused",
    ),
    (
        SIGNED,
        "            if keyid not in keys:",
        "            if False:",
        AGREED + "test_a_signature_by_a_stranger_is_refused",
    ),
    (
        SIGNING,
        """                verify_document(
                    public_key, self.payload_type, self.payload, signature, who=key_id(public_key)
                )
""",
        "",
        AGREED + "test_an_agreement_altered_after_signing_is_refused",
    ),
    (
        "protocol/strict.py",
        "            if name not in self._asked:",
        "            if False:",
        STRICT + "test_an_unknown_field_is_named_with_the_nearest_known_one",
    ),
    (
        "protocol/schema.py",
        "for name in values if name not in known)",
        "for name in values if False)",
        "test_schema.py::test_all_that_is_missing_and_all_that_is_unknown_is_named_in_one_error",
    ),
    (
        "protocol/schema.py",
        "        fields.finish()\n",
        "",
        "test_schema.py::test_a_field_that_a_part_forgets_to_read_is_not_passed_over",
    ),
    (
        "protocol/strict.py",
        "\\u2060-\\u206f",
        "",
        STRICT + "test_what_is_ignored_where_it_is_shown_is_refused_and_named_with_its_place",
    ),
    (
        "protocol/strict.py",
        "[\\x00-\\x09\\x0b-\\x1f\\x7f-\\x9f\\ud800-\\udfff\\u2028\\u2029",
        "[",
        STRICT + "test_whatever_controls_or_breaks_a_line_is_hidden",
    ),
    (
        "protocol/strict.py",
        "\\U000e0000-\\U000e0fff]",
        "]",
        STRICT + "test_every_formatting_character_is_refused_but_those_that_are_drawn",
    ),
    (
        "protocol/strict.py",
        "            if other != value:",
        "            if False:",
        STRICT + "test_two_entries_that_look_the_same_are_refused",
    ),
    (
        "protocol/strict.py",
        '" ".join(unicodedata.normalize("NFKC", text).split())',
        "text",
        "test_feature_values.py::test_levels_that_look_the_same_are_refused",
    ),
    (
        RULES,
        "if terms.min_partners < fewest or a.n_partners < terms.min_partners:",
        NEVER,
        AGREED + "test_lint_names_each_problem",
    ),
    (
        RULES,
        "if terms.min_atom > a.n_partners:",
        NEVER,
        AGREED + "test_lint_names_each_problem",
    ),
    (
        RULES,
        "if exact and terms.min_atom < fewest:",
        NEVER,
        AGREED + "test_lint_names_each_problem",
    ),
    (
        RULES,
        "if len(set(keys)) != len(keys):",
        NEVER,
        AGREED + "test_one_key_for_two_parties_is_refused",
    ),
    (
        AGREEMENT,
        "return (self.n_partners + self.secure_sum.max_colluding) // 2 + 1",
        "return (self.n_partners + self.secure_sum.max_colluding) // 2",
        AGREED + "test_any_two_sets_share_an_honest_partner",
    ),
    (
        AGREEMENT,
        "if now + CLOCK_SKEW < self.effective or now - CLOCK_SKEW > self.expires:",
        NEVER,
        AGREED + "test_an_agreement_holds_between_its_dates_with_five_minutes_for_clocks",
    ),
    # bytes
    (
        CANONICAL,
        "    if at != len(data):",
        "    if False:",
        FRAMES + "test_bytes_that_end_early_or_late_are_refused",
    ),
    (
        CANONICAL,
        "        if key in found:",
        "        if False:",
        FRAMES + "test_json_that_could_be_read_in_two_ways_is_refused",
    ),
    (
        CANONICAL,
        "            parse_float=_no_float,\n",
        "",
        FRAMES + "test_json_that_could_be_read_in_two_ways_is_refused",
    ),
    (
        CANONICAL,
        "    if canonical_form(value, what=what) != data:",
        "    if False:",
        FRAMES + "test_json_in_another_than_the_canonical_form_is_refused",
    ),
    # the coordinator
    (
        COORDINATOR,
        "        Hello.verified(message, public_key=self._key_of(hello.partner), who=party.id)\n",
        "",
        LIES + "test_the_coordinator_refuses_a_hello_by_a_stranger",
    ),
    (
        COORDINATOR,
        "if hello.agreement_hash != self.agreement.hash or hello.run_id != self.run_id:",
        NEVER,
        LIES + "test_the_coordinator_refuses_a_hello_for_another_run",
    ),
    (
        COORDINATOR,
        "            masking.check_public_keys(hello.x25519, hello.kem)\n",
        "            pass\n",
        LIES + "test_the_coordinator_refuses_a_hello_with_unusable_keys",
    ),
    (
        COORDINATOR,
        "        if taken[partner] != message:",
        "        if False:",
        LIES + "test_the_coordinator_refuses_a_second_different_reply",
    ),
    (
        COORDINATOR,
        "if (accept.run_hash, accept.head) != (self._run_hash, self.chain.head):",
        NEVER,
        LIES + "test_the_coordinator_refuses_an_accept_for_another_set",
    ),
    (
        COORDINATOR,
        "        if masked.context != self._context():",
        "        if False:",
        LIES + "test_the_coordinator_refuses_an_answer_for_another_round",
    ),
    (
        COORDINATOR,
        "            self._rules.check(chain, signed=self.chain, run_hash=run_hash)",
        "            pass",
        LIES + "test_the_coordinator_never_proposes_a_set_that_the_rules_forbid",
    ),
    # noise
    (
        PARTNER,
        "ring.add(vector, self._noise_share(query, ask, plain, secrets.noise_secret))",
        "pass",
        NOISE + "test_a_total_is_the_true_one_and_noise_of_the_agreed_width",
    ),
    (
        PARTNER,
        "partners=len(ask.members),",
        "partners=self.agreement.n_partners,",
        NOISE + "test_the_noise_in_a_total_is_the_share_of_each_member_of_the_set_bit_for_bit",
    ),
    (
        PARTNER,
        "colluding=self.agreement.secure_sum.max_colluding,\n        )\n        noise",
        "colluding=0,\n        )\n        noise",
        NOISE + "test_the_noise_in_a_total_is_the_share_of_each_member_of_the_set_bit_for_bit",
    ),
    (
        PARTNER,
        "query.hash, plain\n",
        'query.hash, b""\n',
        NOISE + "test_another_answer_never_gets_the_noise_of_the_first",
    ),
    (
        PARTNER_STATE,
        "aborted_with=aborted_with, secrets=None)",
        "aborted_with=aborted_with)",
        NOISE + "test_the_secret_of_the_noise_is_forgotten_at_the_end",
    ),
    (
        MECHANISMS,
        "-(-variance // (partners - colluding))",
        "variance // partners",
        "privacy/test_mechanisms.py::test_honest_shares_alone_give_the_agreed_variance",
    ),
    (
        MECHANISMS,
        "            for i in np.flatnonzero(drawn == first[running]).tolist():",
        "            for i in []:",
        "privacy/test_mechanisms.py::"
        "test_the_rest_of_a_probability_counts_when_its_first_bits_are_equal",
    ),
    (
        ACCOUNTING,
        "return -(-(sensitivity_squared << RHO_BITS) // (2 * share_variance * honest)) + 1",
        "return -(-(sensitivity_squared << RHO_BITS) // (2 * share_variance * honest))",
        "privacy/test_accounting.py::test_a_cost_is_never_below_the_true_one",
    ),
    (
        LEDGER,
        "if total_cost(before) + more.cost > terms.reserve_for(cost):",
        "if total_cost(before) + more.cost >= terms.reserve_for(cost):",
        "privacy/test_ledger.py::test_a_run_may_use_up_its_spare_rounds_to_the_last_unit",
    ),
    (
        PRIVATE,
        "    if (total < low - margin).any() or (total > high + margin).any():",
        "    if False:",
        "test_private_queries.py::test_a_total_beyond_customers_and_noise_is_refused",
    ),
    (
        PRIVATE,
        "np.trunc(rows * (norm",
        "np.rint(rows * (norm",
        "test_private_queries.py::test_clipped_rows_never_exceed_the_norm_and_keep_their_direction",
    ),
    (
        RULES,
        "    if spent > float(terms.epsilon):",
        "    if False:",
        PRIVACY_AGREED + "test_an_agreement_about_privacy_must_hold_together",
    ),
    (
        RULES,
        "    if (a.plan.name == EXACT_PLAN) != (a.privacy is None):",
        "    if False:",
        PRIVACY_AGREED + "test_exact_totals_and_plans_with_noise_do_not_go_together",
    ),
    (
        RULES,
        "    if terms.max_partners_per_customer > a.n_partners:",
        "    if False:",
        PRIVACY_AGREED + "test_an_agreement_about_privacy_must_hold_together",
    ),
    (
        RULES,
        "if a.plan.name in NOISED_PLANS and a.plan.max_rounds < least_rounds(a.plan):",
        NEVER,
        PRIVACY_AGREED + "test_an_agreement_about_privacy_must_hold_together",
    ),
    (
        RULES,
        "if folded.count(n) > 1",
        "if False",
        AGREED + "test_lint_names_each_problem",
    ),
    (
        RULES,
        "if a.plan.name == EXACT_PLAN and asked:",
        NEVER,
        PRIVACY_AGREED + "test_exact_totals_have_no_profile_and_no_satisfaction",
    ),
    (
        RULES,
        "if a.plan.name == EXACT_PLAN and a.privacy is None and not a.plan.exact_totals:",
        NEVER,
        PRIVACY_AGREED + "test_exact_totals_are_signed_with_the_words_that_say_what_they_show",
    ),
    (
        RULES,
        "if a.plan.exact_totals and a.privacy is not None:",
        NEVER,
        PRIVACY_AGREED + "test_nobody_signs_beside_noise_that_rows_can_be_computed",
    ),
    (
        RULES,
        "() if kept else _unsaid_problems(agreement)",
        "_unsaid_problems(agreement)",
        PRIVACY_AGREED
        + "test_an_agreement_on_record_that_says_less_is_read_but_not_taken_in_again",
    ),
    (
        RULES,
        "[*_problems(agreement), *(",
        "[*(() if kept else _problems(agreement)), *(",
        PRIVACY_AGREED
        + "test_an_agreement_on_record_that_says_less_is_read_but_not_taken_in_again",
    ),
    (
        "protocol/clustering/plan.py",
        "return NOISED_PLANS[plan.name].LEAST_ROUNDS + chosen + last_questions(plan)",
        "return NOISED_PLANS[plan.name].LEAST_ROUNDS + last_questions(plan)",
        PRIVACY_AGREED + "test_an_agreement_about_privacy_must_hold_together",
    ),
    (
        PRIVATE,
        "return 2 * UNIT * UNIT",
        "return UNIT * UNIT",
        "test_private_queries.py::test_no_customer_is_longer_than_the_sensitivity",
    ),
    (
        SATISFACTION,
        "np.clip(scores, float(self.lowest), float(self.highest))",
        "scores",
        "test_private_queries.py::test_a_score_is_never_beyond_the_ends_of_its_scale",
    ),
    (
        FINISH,
        "cost=terms.cost - cost - distance_cost - scores_cost",
        "cost=terms.cost - cost - distance_cost",
        PLANS + "test_a_run_never_costs_more_than_its_budget",
    ),
    (
        SCORED,
        "if answered < least_size(min_segment_size, sigma):",
        NEVER,
        "test_segment_satisfaction.py::test_a_segment_of_whom_too_few_answered_tells_nothing_of_them",
    ),
    (
        SCORED,
        "return noised and least <= self.answered <=",
        "return self.answered <=",
        "test_segment_satisfaction.py::"
        "test_satisfaction_of_fewer_than_agreed_or_without_noise_is_refused",
    ),
    (
        RELEASE,
        "if agreement.plan.satisfaction is None and any(s.satisfaction for s in release.segments):",
        NEVER,
        "test_segment_satisfaction.py::test_satisfaction_that_was_not_agreed_is_refused",
    ),
    (
        PRIVATE,
        "SPREAD_NORM**4 + SPREAD_COUNT**2",
        "SPREAD_NORM**4",
        "test_private_queries.py::test_no_customer_is_longer_than_the_sensitivity",
    ),
    (
        FINISH,
        "cost=terms.cost - cost - distance_cost - scores_cost",
        "cost=terms.cost - distance_cost - scores_cost",
        PLANS + "test_a_run_never_costs_more_than_its_budget",
    ),
    (
        FINISH,
        "cost=terms.cost - cost - distance_cost - scores_cost",
        "cost=terms.cost - cost - scores_cost",
        PLANS + "test_a_run_never_costs_more_than_its_budget",
    ),
    (
        FINISH,
        "if cost > -(-whole // 2):",
        NEVER,
        PLANS + "test_a_question_that_a_spare_round_could_not_pay_for_is_not_asked",
    ),
    (
        FINISH,
        "return self._advanced(total, customers=customers, variance=variance)._affordable()",
        "return self._advanced(total, customers=customers, variance=variance)",
        PLANS + "test_a_question_that_a_spare_round_could_not_pay_for_is_not_asked",
    ),
    (
        FINISH,
        "check_range(self.query, total, customers=customers, variance=variance)",
        "pass",
        PLANS + "test_a_profile_that_cannot_be_true_is_refused",
    ),
    (
        FINISH,
        "np.flatnonzero(found.counts >= least)",
        "np.flatnonzero(found.counts > -1)",
        PLANS + "test_clusters_too_small_to_tell_are_merged_before_they_are_counted",
    ),
    (
        SETS,
        "if not after.members < before.members:",
        "if not after.members <= before.members:",
        SET_RULES + "test_a_set_only_shrinks_within_a_run",
    ),
    # purpose, legal basis, consent
    (
        GOVERNANCE,
        'fields.text("term", max_length=100, pattern=TERM)',
        'fields.text("term", max_length=100)',
        AGREED + "test_a_value_out_of_range_is_refused",
    ),
    (
        GOVERNANCE,
        'fields.text("notice_version", max_length=40, pattern=VERSION)',
        'fields.text("notice_version", max_length=40)',
        AGREED + "test_a_value_out_of_range_is_refused",
    ),
    (
        GOVERNANCE,
        'r"[0-9a-f]{64}" if basis == LEGITIMATE_INTEREST else None',
        "None",
        AGREED + "test_a_value_out_of_range_is_refused",
    ),
    (
        GOVERNANCE,
        "at_least=1, at_most=MAX_CONSENT_AGE_HOURS)",
        "at_least=0, at_most=10**9)",
        AGREED + "test_a_value_out_of_range_is_refused",
    ),
    (
        GOVERNANCE,
        "if not found or list(found) != sorted(found):",
        "if not found:",
        "test_four_eyes.py::test_other_words_and_another_order_are_refused",
    ),
    # agreed moments
    (
        SCHEDULE,
        "at_least=1, at_most=24 * every * _SURE_DAYS[unit]",
        "at_least=1, at_most=10**6",
        MOMENTS + "test_windows_never_overlap",
    ),
    (
        SCHEDULE,
        "months = _months(self.first_day) + number * self.every",
        "months = _months(self.first_day) + number",
        MOMENTS + "test_a_short_month_has_its_last_day_and_shifts_no_later_one",
    ),
    (
        AGREEMENT,
        "min(end, self.review_by))",
        "end)",
        MOMENTS + "test_no_moment_lies_outside_the_times_in_which_a_run_may_begin",
    ),
    (
        AGREEMENT,
        "self.schedule.moments(max(begin, self.effective),",
        "self.schedule.moments(begin,",
        MOMENTS + "test_no_moment_lies_outside_the_times_in_which_a_run_may_begin",
    ),
    (
        AGREEMENT,
        "self.schedule.latest(self.effective, min(now, self.review_by))",
        "self.schedule.latest(self.effective, now)",
        MOMENTS + "test_no_moment_lies_outside_the_times_in_which_a_run_may_begin",
    ),
    (
        RULES,
        "    yield from _schedule_problems(a)\n",
        "",
        MOMENTS + "test_a_schedule_without_a_moment_is_not_signed",
    ),
    # which builds may run
    (
        AGREEMENT,
        "if agreed.protocol not in (None, PROTOCOL):",
        "if False:",
        BUILT + "test_a_build_of_another_protocol_does_not_run_although_its_hash_is_agreed",
    ),
    (
        SOFTWARE,
        "if found.protocol is None and (found.builds or found.added_by is not None):",
        "if False:",
        BUILT + "test_software_out_of_range_is_refused",
    ),
    (
        RULES,
        "    yield from _software_problems(a)\n",
        "",
        BUILT + "test_who_adds_builds_is_a_party",
    ),
    (
        ADDED,
        "        if missing:\n",
        "        if False:\n",
        BUILT + "test_a_build_may_run_once_every_party_signed_it",
    ),
    (
        AGREEMENT,
        "if not named or party.id in named)",
        "if party.id in named)",
        BUILT + "test_a_build_may_run_once_every_party_signed_it",
    ),
    (
        ADDED,
        "if self.envelope.payload != expected.envelope.payload:",
        "if self.agreement_hash != agreement.hash:",
        BUILT + "test_another_protocol_is_not_added",
    ),
    (
        ADDED,
        "if self.envelope.payload != expected.envelope.payload:",
        "if self.protocol != expected.protocol:",
        BUILT + "test_a_build_holds_for_the_version_that_it_names_alone",
    ),
    (
        ADDED,
        "if not self.envelope.signatures.keys() <= {key_id(key) for key in every}:",
        "if False:",
        BUILT + "test_a_signature_by_a_stranger_or_over_another_build_is_refused",
    ),
    (
        ADDED,
        "if terms.added_by is None or terms.protocol is None:",
        "if terms.protocol is None:",
        BUILT + "test_a_build_holds_for_the_version_that_it_names_alone",
    ),
    # due diligence
    (
        DILIGENCE,
        "if not signers or len(self.envelope.signatures) != 1:",
        "if not signers:",
        DILIGENT + "test_a_record_is_read_back_and_is_signed_by_the_operator_alone",
    ),
    (
        DILIGENCE,
        "self.is_of(public_key, known=known) and self.at",
        "self.at",
        DILIGENT + "test_a_record_holds_for_its_key_and_its_time",
    ),
    (
        DILIGENCE,
        "<= now < self.expires",
        "<= now",
        DILIGENT + "test_a_record_holds_for_its_key_and_its_time",
    ),
    # authorities that nodes shall trust
    (
        AUTHORITIES,
        "        if not _signs_certificates(one):\n",
        "        if False:\n",
        "test_authorities.py::test_what_is_no_statement_is_refused",
    ),
    (
        AUTHORITIES,
        "    if len(found) > MAX_COUNT:\n",
        "    if False:\n",
        "test_authorities.py::test_what_is_no_statement_is_refused",
    ),
    (
        AUTHORITIES,
        "        return extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign\n",
        "        return True\n",
        "test_authorities.py::test_an_authority_that_may_not_sign_certificates_is_none",
    ),
    # the audit log
    (
        "protocol/log/tree.py",
        "last != 0 or found != _hash(root_hash)",
        "last != 0",
        "log/test_tree.py::test_every_inclusion_proof_checks_and_no_altered_one",
    ),
    (
        "protocol/log/tree.py",
        "last != 0 or first != old_root or second != new_root",
        "last != 0 or second != new_root",
        "log/test_tree.py::test_every_consistency_proof_checks_and_no_altered_one",
    ),
    (
        "protocol/log/tree.py",
        "first != old_root or second != new_root",
        "first != old_root",
        "log/test_tree.py::test_every_consistency_proof_checks_and_no_altered_one",
    ),
    (
        "protocol/log/tree.py",
        "if hashes or not same or",
        "if not same or",
        "log/test_tree.py::test_every_consistency_proof_checks_and_no_altered_one",
    ),
    (
        "protocol/log/tree.py",
        "if hashes or not same or",
        "if hashes or",
        "log/test_tree.py::test_every_consistency_proof_checks_and_no_altered_one",
    ),
    (
        "protocol/log/tree.py",
        "if len(data) != HASH_BYTES:",
        "if False:",
        "log/test_tree.py::test_hashes_of_another_length_are_refused",
    ),
    (
        "protocol/log/tiles.py",
        "if at != len(data):",
        "if False:",
        "log/test_tiles.py::test_tiles_and_bundles_come_back_and_nothing_shorter_or_longer",
    ),
    (
        "protocol/log/tiles.py",
        "if str(found) != path:",
        "if False:",
        "log/test_tiles.py::test_what_is_no_path_is_refused",
    ),
    (
        "protocol/log/notes.py",
        "if parts[1] != found.key_id.hex():",
        "if False:",
        "log/test_notes.py::test_no_part_of_a_verifier_key_and_no_changed_one_is_read",
    ),
    (
        "protocol/log/notes.py",
        "if not verifier.holds(self.text, one.data):",
        "if False:",
        "log/test_notes.py::test_strangers_are_passed_over_and_a_wrong_signature_of_a_known_key_is_not",
    ),
    (
        "protocol/log/notes.py",
        "if verifier.key in found:",
        "if False:",
        "log/test_notes.py::test_strangers_are_passed_over_and_a_wrong_signature_of_a_known_key_is_not",
    ),
    (
        "protocol/log/notes.py",
        "if not found:",
        "if False:",
        "log/test_notes.py::test_strangers_are_passed_over_and_a_wrong_signature_of_a_known_key_is_not",
    ),
    (
        "protocol/log/notes.py",
        "if len(lines) > MAX_SIGNATURES:",
        "if False:",
        "log/test_notes.py::test_what_is_no_note_is_refused",
    ),
    (
        "protocol/log/notes.py",
        "if len(data) > MAX_NOTE_BYTES:",
        "if False:",
        "log/test_notes.py::test_what_is_no_note_is_refused",
    ),
    (
        "protocol/log/notes.py",
        "if key.kind != kind or",
        "if",
        "log/test_notes.py::test_cosignatures_hold_for_their_time_name_and_checkpoint_alone",
    ),
    (
        "protocol/log/checkpoints.py",
        "if self.size == 0 and self.root != EMPTY_ROOT:",
        "if False:",
        "log/test_notes.py::test_a_checkpoint_comes_back_and_is_written_in_one_way",
    ),
    (
        "protocol/log/text.py",
        "if to_base64(data) != text:",
        "if False:",
        "log/test_notes.py::test_what_is_no_note_is_refused",
    ),
    (
        "protocol/log/cosignatures.py",
        "            _short(name),\n",
        "",
        "log/test_notes.py::test_cosignatures_hold_for_their_time_name_and_checkpoint_alone",
    ),
    (
        "protocol/log/cosignatures.py",
        "            key.verify(signature[TIME_BYTES:], message)\n",
        "",
        "log/test_notes.py::test_cosignatures_hold_for_their_time_name_and_checkpoint_alone",
    ),
    (
        "protocol/log/proofs.py",
        "if log.key not in found:",
        "if False:",
        "log/test_notes.py::test_a_proof_of_something_else_is_refused",
    ),
    (
        "protocol/log/proofs.py",
        "if len(seen) < quorum:",
        "if False:",
        "log/test_notes.py::test_a_proof_of_something_else_is_refused",
    ),
    (
        "protocol/log/proofs.py",
        "{key.public_key for key in found} - {log.key.public_key}",
        "set(found) - {log.key}",
        "log/test_notes.py::test_one_key_under_two_names_is_one_witness_and_the_log_is_none",
    ),
    (
        "protocol/log/proofs.py",
        " - {log.key.public_key}",
        "",
        "log/test_notes.py::test_one_key_under_two_names_is_one_witness_and_the_log_is_none",
    ),
    (
        "protocol/log/proofs.py",
        "if checkpoint.origin != origin:",
        "if False:",
        "log/test_notes.py::test_a_proof_of_something_else_is_refused",
    ),
    (
        "protocol/log/proofs.py",
        "if len(lines) > MAX_HASHES:",
        "if False:",
        "log/test_notes.py::test_what_is_no_proof_is_refused",
    ),
    (
        "protocol/log/witness.py",
        "if known is not None and known != shown.root:",
        "if False:",
        "log/test_witness.py::test_two_roots_of_one_size_accuse_and_stop_until_people_accept",
    ),
    (
        "protocol/log/witness.py",
        "        if self.forked:\n",
        "        if False:\n",
        "log/test_witness.py::test_two_roots_of_one_size_accuse_and_stop_until_people_accept",
    ),
    (
        "protocol/log/witness.py",
        "        if (shown.size, shown.root) in self.left:\n",
        "        if False:\n",
        "log/test_witness.py::test_two_roots_of_one_size_accuse_and_stop_until_people_accept",
    ),
    (
        "protocol/log/witness.py",
        "        if shown.size <= self.size:\n",
        "        if False:\n",
        "log/test_witness.py::test_what_follows_is_cosigned_and_nothing_else",
    ),
    (
        "protocol/log/witness.py",
        "            check_consistency(self.size, shown.size, hashes, self.root, shown.root)\n",
        "            pass\n",
        "log/test_witness.py::test_in_every_order_what_is_cosigned_is_one_history",
    ),
    (
        "protocol/log/seals.py",
        "    if party_of(checkpoint.origin) != party_of(key.name):\n",
        "    if False:\n",
        "log/test_seals.py::test_proofs_by_a_seal",
    ),
    (
        "protocol/log/seals.py",
        "check_inclusion(leaf, opened.index, checkpoint.size, opened.hashes, checkpoint.root)",
        "pass",
        "log/test_seals.py::test_proofs_by_a_seal",
    ),
    (
        "protocol/log/seals.py",
        'tagged_hash("log-seal", nonce, ',
        'tagged_hash("log-seal", ',
        "log/test_seals.py::test_a_seal_tells_nothing_and_is_bound_to_nonce_and_text",
    ),
    (
        "protocol/log/beside.py",
        "    if len({one.party for one in found}) != len(found):\n",
        "    if False:\n",
        "log/test_seals.py::test_what_is_told_and_passed_comes_back_and_nothing_else_is_read",
    ),
    (
        "protocol/log/beside.py",
        "        if len({one.party for one in shown}) != len(shown):\n",
        "        if False:\n",
        "log/test_seals.py::test_what_is_told_and_passed_comes_back_and_nothing_else_is_read",
    ),
    (
        "protocol/log/entries.py",
        "        if checks.keys() != self.about.keys():\n",
        "        if False:\n",
        "log/test_entries.py::test_each_kind_has_its_fields_and_no_others",
    ),
    (
        "protocol/log/entries.py",
        "            if not holds(self.about[name]):\n",
        "            if False:\n",
        "log/test_entries.py::test_each_kind_has_its_fields_and_no_others",
    ),
    (
        "protocol/log/entries.py",
        "        if again != data:\n",
        "        if False:\n",
        "log/test_entries.py::test_an_entry_has_one_form",
    ),
    (
        "protocol/log/checking.py",
        "        if list(stored[place:]) != list(wanted):\n",
        "        if False:\n",
        "log/test_entries.py::test_what_was_changed_is_noticed",
    ),
    (
        "protocol/log/checking.py",
        "    while row:\n",
        "    while False:\n",
        "log/test_entries.py::test_what_was_changed_is_noticed",
    ),
    (
        "protocol/log/checking.py",
        "        if one.size > size:\n",
        "        if False:\n",
        "log/test_entries.py::test_what_was_changed_is_noticed",
    ),
    (
        "protocol/log/checking.py",
        "        if root(one.size, log) != one.root:\n",
        "        if False:\n",
        "log/test_entries.py::test_what_was_changed_is_noticed",
    ),
    (
        "protocol/log/entries.py",
        "(?:-1|0|[1-9][0-9]{0,14})",
        "(?:-?[0-9]{1,15})",
        "log/test_entries.py::test_the_quick_look_takes_no_bytes_that_are_no_entry",
    ),
    (
        "protocol/log/entries.py",
        "[ !#-\\[\\]-~]",
        "[ !#-~]",
        "log/test_entries.py::test_the_quick_look_takes_no_bytes_that_are_no_entry",
    ),
    (
        "protocol/log/checking.py",
        "        if len(batch) != stop - at:\n",
        "        if False:\n",
        "log/test_entries.py::test_an_entry_that_is_not_there_is_noticed",
    ),
    (
        "protocol/log/checking.py",
        "    _check_from(log, known.size // TILE_WIDTH)\n",
        "",
        "log/test_entries.py::test_what_came_after_a_known_state_is_checked",
    ),
    (
        "protocol/log/checking.py",
        "    check_states(log, [known])\n",
        "",
        "log/test_entries.py::test_what_came_after_a_known_state_is_checked",
    ),
    # evidence packs
    (
        "protocol/pack/checking.py",
        "    if set(files) - {MANIFEST, NOTE} != set(manifest.files):\n",
        "    if False:\n",
        "pack/test_pack.py::test_a_pack_that_was_changed_is_refused",
    ),
    (
        "protocol/pack/checking.py",
        "        if hashlib.sha256(files[name]).hexdigest() != digest:\n",
        "        if False:\n",
        "pack/test_pack.py::test_codes_say_what_is_wrong",
    ),
    (
        "protocol/pack/checking.py",
        "        agreement = signed.verify()\n",
        "        agreement = signed.agreement\n",
        "pack/test_pack.py::test_a_pack_that_was_changed_is_refused",
    ),
    (
        "protocol/pack/checking.py",
        "    missing = sorted(one.hex() for one in named if one not in found)\n",
        "    missing = []\n",
        "pack/test_pack.py::test_the_reader_names_the_agreement_whose_keys_count",
    ),
    (
        "protocol/pack/checking.py",
        "    _check_note(files, manifest.party, keys)\n",
        "",
        "pack/test_pack.py::test_codes_say_what_is_wrong",
    ),
    (
        "protocol/pack/checking.py",
        "    if note.text not in {note_text(one.name, files[MANIFEST]) for one in signers}:\n",
        "    if False:\n",
        "pack/test_pack.py::test_codes_say_what_is_wrong",
    ),
    (
        "protocol/pack/checking.py",
        "    if said.origin not in {one.name for one in signers}:\n",
        "    if False:\n",
        "pack/test_pack.py::test_codes_say_what_is_wrong",
    ),
    (
        "protocol/pack/checking.py",
        "    if len(by) < needed:\n",
        "    if False:\n",
        "pack/test_pack.py::test_codes_say_what_is_wrong",
    ),
    (
        "protocol/pack/checking.py",
        "        entries, root = check_log(log, [said, *states])\n",
        "        entries, root = check_log(log, [said])\n",
        "pack/test_pack.py::test_a_pack_that_was_changed_is_refused",
    ),
    (
        "protocol/pack/checking.py",
        "    if (tiles.size, root(tiles.size, tiles)) != (said.size, said.root):\n",
        "    if False:\n",
        "pack/test_pack.py::test_a_pack_that_was_changed_is_refused",
    ),
    (
        "protocol/pack/checking.py",
        "            elif at < newest - CLOCKS_S:\n",
        "            elif False:\n",
        "pack/test_pack.py::test_codes_say_what_is_wrong",
    ),
    (
        "protocol/pack/checking.py",
        "    if _moment(manifest.made_at).timestamp() < max(newest, latest) - CLOCKS_S:\n",
        "    if False:\n",
        "pack/test_pack.py::test_codes_say_what_is_wrong",
    ),
    (
        "protocol/pack/checking.py",
        "                at = min(at, latest)",
        "                pass",
        "pack/test_pack.py::test_a_clock_that_was_ahead_once_spoils_no_later_pack",
    ),
    (
        "protocol/pack/checking.py",
        "        if logged.get(name, digest) != digest:\n",
        "        if False:\n",
        "pack/test_pack.py::test_a_pack_that_was_changed_is_refused",
    ),
    (
        "protocol/pack/checking.py",
        "        release.verify(agreement)\n",
        "",
        "pack/test_pack.py::test_a_pack_that_was_changed_is_refused",
    ),
    (
        "protocol/pack/checking.py",
        "        if name not in known and not ",
        "        if False and not ",
        "pack/test_pack.py::test_codes_say_what_is_wrong",
    ),
    (
        "protocol/pack/checking.py",
        "    if not logged <= there or (there != logged and not earlier):\n",
        "    if False:\n",
        "pack/test_pack.py::test_a_folder_that_is_older_than_its_log_may_have_more_than_that",
    ),
    # receipts of being counted
    (
        "protocol/receipts/checking.py",
        "        verify_document(log.public_key, RECEIPT_TYPE, signed.signed, signed.signature,"
        " who=log.name)\n",
        "        pass\n",
        "receipts/test_receipts.py::test_a_receipt_that_somebody_else_signed_is_refused",
    ),
    (
        "protocol/receipts/checking.py",
        "    receipt.checkpoint.verified([Ed25519Verifier(log)])\n",
        "",
        "receipts/test_receipts.py::test_a_checkpoint_of_another_log_is_refused",
    ),
    (
        "protocol/receipts/checking.py",
        "    if len(found) < quorum:\n",
        "    if False:\n",
        "receipts/test_receipts.py::test_witnesses_of_a_seal_are_counted_and_may_be_asked_for",
    ),
    (
        "protocol/receipts/seen.py",
        "        if found.proof.extra is not None:\n",
        "        if False:\n",
        "receipts/test_receipts.py::test_a_seal_of_something_else_is_refused",
    ),
    (
        "protocol/receipts/seen.py",
        '        if not origin.startswith(f"{log.name}/"):\n',
        "        if False:\n",
        "receipts/test_receipts.py::test_a_seal_of_something_else_is_refused",
    ),
    (
        "protocol/receipts/seen.py",
        " if one.public_key != log.public_key]",
        "]",
        "receipts/test_receipts.py::test_a_key_cosigns_once_under_however_many_names_and_the_logs_own_never",
    ),
    (
        "protocol/receipts/seen.py",
        "        self.proof.check(seal(self.nonce, text), origin=origin, log=own,"
        " witnesses=others)\n",
        "",
        "receipts/test_receipts.py::test_a_seal_of_something_else_is_refused",
    ),
    (
        "protocol/receipts/seen.py",
        "times.setdefault(key.public_key, (",
        "times.setdefault(key.name.encode(), (",
        "receipts/test_receipts.py::test_a_key_cosigns_once_under_however_many_names_and_the_logs_own_never",
    ),
    (
        "protocol/receipts/checking.py",
        "    if checkpoint.origin != log.name:\n",
        "    if False:\n",
        "receipts/test_receipts.py::test_a_checkpoint_of_another_log_is_refused",
    ),
    (
        "protocol/receipts/checking.py",
        "    if len({one.shown.run for one in runs}) != len(runs):\n",
        "    if False:\n",
        "receipts/test_receipts.py::test_sets_of_two_runs_are_not_joined",
    ),
    (
        "protocol/receipts/checking.py",
        "    if [dict(one) for one in receipt.events] != told:\n",
        "    if False:\n",
        "receipts/test_receipts.py::test_words_that_say_something_else_than_the_proofs_are_refused",
    ),
    (
        "protocol/receipts/checking.py",
        "about.run != shown.run or",
        "",
        "receipts/test_receipts.py::test_sets_of_two_runs_are_not_joined",
    ),
    (
        "protocol/receipts/checking.py",
        " or (sets and about.key != sets[0].key)",
        "",
        "receipts/test_receipts.py::test_two_keys_in_one_run_are_refused",
    ),
    (
        "protocol/receipts/checking.py",
        "        if about.number != number:\n",
        "        if False:\n",
        "receipts/test_receipts.py::test_a_set_that_is_left_out_is_noticed",
    ),
    (
        "protocol/receipts/checking.py",
        "    if len({one.context for one in sets}) != len(sets):\n",
        "    if False:\n",
        "receipts/test_receipts.py::test_one_answer_has_one_set",
    ),
    (
        "protocol/receipts/checking.py",
        "            if handles.setdefault((run.shown.run, whose), own) != own:\n",
        "            if False:\n",
        "receipts/test_receipts.py::test_a_node_that_gives_one_customer_two_handles_is_found_out_by_a_second_receipt",
    ),
    (
        "protocol/receipts/checking.py",
        "            if owners.setdefault((run.shown.run, own), whose) != whose:\n",
        "            if False:\n",
        "receipts/test_receipts.py::test_a_node_that_gives_two_customers_one_handle_is_found_out",
    ),
    (
        "protocol/receipts/checking.py",
        "                if sets.setdefault((one.run, one.number), one) != one:\n",
        "                if False:\n",
        "receipts/test_receipts.py::test_a_node_that_tells_two_customers_of_two_sets_is_found_out",
    ),
    (
        "protocol/receipts/checking.py",
        "    if not opened:\n",
        "    if False:\n",
        "receipts/test_receipts.py::test_an_auditor_who_is_shown_the_key_sees_whose_the_handle_is",
    ),
    (
        "protocol/receipts/checking.py",
        "    if any(run.shown.handle != handle(key, customer) for run in opened):\n",
        "    if False:\n",
        "receipts/test_receipts.py::test_an_auditor_who_is_shown_the_key_sees_whose_the_handle_is",
    ),
    (
        "protocol/receipts/proof.py",
        "        check_inclusion(leaf_hash(self.entry), self.index, size, self.inclusion, root)\n",
        "",
        "receipts/test_receipts.py::test_no_altered_value_of_a_receipt_is_taken",
    ),
    (
        "protocol/receipts/proof.py",
        "        if entry.kind != COUNTED:\n",
        "        if False:\n",
        "receipts/test_receipts.py::test_an_entry_of_another_kind_or_with_odd_hashes_proves_nothing",
    ),
    (
        "protocol/receipts/proof.py",
        "        if sizes != {HASH_BYTES} or CONTEXT_BYTES != HASH_BYTES:\n",
        "        if False:\n",
        "receipts/test_receipts.py::test_an_entry_of_another_kind_or_with_odd_hashes_proves_nothing",
    ),
    (
        "protocol/receipts/proof.py",
        " or any(len(one) != HASH_BYTES for one in found)",
        "",
        "receipts/test_receipts.py::test_what_is_no_receipt_is_refused",
    ),
    (
        "protocol/receipts/proof.py",
        " or len(values) > _MOST_HASHES",
        "",
        "receipts/test_receipts.py::test_what_is_no_receipt_is_refused",
    ),
    (
        "protocol/receipts/document.py",
        "    if bool(found.handle) != bool(found.answers):\n",
        "    if False:\n",
        "receipts/test_receipts.py::test_what_is_no_receipt_is_refused",
    ),
    (
        "protocol/receipts/document.py",
        "            fields.finish()\n",
        "",
        "receipts/test_receipts.py::test_a_receipt_has_its_fields_and_no_others",
    ),
    (
        "protocol/receipts/document.py",
        "    if not isinstance(left, bool):\n",
        "    if False:\n",
        "receipts/test_receipts.py::test_what_is_no_receipt_is_refused",
    ),
    (
        "protocol/receipts/buckets.py",
        "    if (found[1:] < found[:-1]).any():\n",
        "    if False:\n",
        "receipts/test_sets.py::test_what_is_no_bucket_is_refused",
    ),
    (
        "protocol/receipts/buckets.py",
        "    if len(data) != BUCKET_BYTES:\n",
        "    if False:\n",
        "receipts/test_sets.py::test_what_is_no_bucket_is_refused",
    ),
    (
        "protocol/receipts/buckets.py",
        "    if not 0 <= bits <= MAX_BITS or bits % 2:\n",
        "    if False:\n",
        "receipts/test_sets.py::test_what_is_no_bucket_is_refused",
    ),
    (
        "protocol/receipts/buckets.py",
        "    if sizes.max(initial=0) > WIDTH:\n",
        "    if False:\n",
        "receipts/test_sets.py::test_a_bucket_that_overflows_gets_the_set_more_buckets",
    ),
    (
        "protocol/receipts/buckets.py",
        "    table.sort(axis=1)\n",
        "",
        "receipts/test_sets.py::test_a_bucket_shows_neither_how_many_nor_who_nor_that_somebody_left",
    ),
    (
        "protocol/receipts/buckets.py",
        "    return bits + bits % 2\n",
        "    return bits\n",
        "receipts/test_sets.py::test_a_number_of_customers_is_shown_to_within_a_factor_of_four",
    ),
    (
        "protocol/receipts/sets.py",
        "    bits = max(at_least, least_bits(found.shape[0]))\n",
        "    bits = least_bits(found.shape[0])\n",
        "receipts/test_sets.py::test_a_set_that_shrinks_has_as_many_buckets_as_before",
    ),
    (
        "protocol/receipts/sets.py",
        "    if lower[-1][0] != committed.shelves[shelf]:\n",
        "    if False:\n",
        "receipts/test_sets.py::test_what_was_kept_of_another_set_is_not_shown",
    ),
    (
        "protocol/evidence/looking.py",
        "        if self._audience is not Audience.HOME:\n",
        "        if False:\n",
        "evidence/test_facts.py::test_a_document_for_others_cannot_read_a_count_of_customers",
    ),
    (
        "protocol/evidence/looking.py",
        '    return found is None or found in ("", [], {}, ())\n',
        "    return found is None\n",
        "evidence/test_facts.py::test_what_is_there_and_empty_is_missing",
    ),
    (
        "protocol/evidence/looking.py",
        "        if _is_empty(found):\n            raise Missing(source)\n",
        "",
        "evidence/test_facts.py::test_what_is_there_and_empty_is_missing",
    ),
    (
        "protocol/evidence/looking.py",
        "        self.sources.append(source)\n        return found\n",
        "        return found\n",
        "evidence/test_facts.py::test_every_filled_field_names_its_sources",
    ),
    (
        "protocol/evidence/forms.py",
        "            state = State.MISSING if lacks else State.FACT\n",
        "            state = State.FACT\n",
        "evidence/test_facts.py::test_a_person_s_answer_fills_no_fact",
    ),
    (
        "protocol/evidence/forms.py",
        "            answer=answer if asked.judge else None,\n",
        "            answer=answer,\n",
        "evidence/test_facts.py::test_a_person_s_answer_fills_no_fact",
    ),
    (
        "protocol/evidence/html.py",
        "_marked(escape(shown(text)))",
        "_marked(shown(text))",
        "evidence/test_renderings.py::test_a_page_loads_nothing_has_no_script_and_shows_every_blank",
    ),
    (
        "protocol/markdown.py",
        '_MEANT.sub(r"\\\\\\1", " ".join(text.split()))',
        '" ".join(text.split())',
        "evidence/test_renderings.py::test_markdown_has_every_field_and_lets_no_text_mean_anything",
    ),
    (
        "protocol/markdown.py",
        "(?=[ =-]|$)",
        "(?=x)",
        "test_markdown.py::test_no_text_means_anything",
    ),
    (
        "protocol/evidence/answers.py",
        "    if type(on) is not date or on > today:\n",
        "    if type(on) is not date:\n",
        "evidence/test_renderings.py::test_an_answer_that_is_not_right_is_refused",
    ),
    (
        "protocol/evidence/answers.py",
        "    blank = [*document.of(State.MISSING), *document.of(State.JUDGEMENT)]\n",
        "    blank = document.of(State.MISSING)\n",
        "evidence/test_renderings.py::test_a_document_is_complete_when_nothing_is_missing_and_everything_answered",
    ),
]
