"""Guards of the control plane, taken out one at a time; see `tests.guards`."""

from __future__ import annotations

CALLERS = "coordinator/control/callers.py"
GUARD = "coordinator/control/guard.py"
ENROLMENT = "coordinator/control/enrolment.py"
INVITATIONS = "coordinator/control/invitations.py"
NODES = "coordinator/control/nodes.py"
AUTHORITY = "coordinator/control/authority.py"
JOINED = "coordinator/control/joined.py"
REACHED = "partner_node/control/reached.py"
CHANNEL = "partner_node/control/channel.py"
PINNED = "partner_node/control/pinned.py"
JOINING = "partner_node/control/joining.py"
JOIN = "partner_node/cli/joining.py"
PRESENCE = "partner_node/control/presence.py"
HANDED = "test_hand_overs.py::"
TAKES_AUTHORITIES = "partner_node/control/authorities.py"
TRUSTS = "test_authorities.py::"
TEXT = "protocol/control/invitation.py"

AGREEMENTS = "coordinator/control/agreements.py"
PROPOSALS = "coordinator/control/proposals.py"
FETCHED = "partner_node/control/proposals.py"
TAKEN_UP = "partner_node/control/taking_up.py"
AGREEING = "partner_node/agreeing.py"

STREAM = "coordinator/control/stream.py"
TOLD = "coordinator/control/announcements.py"
ADDRESS = "machine/web/address.py"
PROVIDER = "machine/web/oidc/settings.py"
STOPS = "coordinator/control/stops.py"
STOPPING = "partner_node/control/stopping.py"
PARTIES = "coordinator/control/parties.py"
TAKES_READINESS = "coordinator/control/taking_readiness.py"
TELLS_READINESS = "partner_node/control/readiness.py"
CHECKING = "partner_node/control/checking.py"
CODES = "protocol/control/readiness.py"
RELEASES = "coordinator/control/releases.py"
FAREWELLS = "coordinator/runs/farewells.py"
TAKES_RELEASES = "partner_node/control/releases.py"

FLOODS = "test_floods.py::"
ACCESS = "test_access.py::"
ANNOUNCES = "test_announcements.py::"
AGREES = "test_agreements.py::"
ENROLS = "test_enrolment.py::"
JOINS = "test_joining.py::"
CERTIFIES = "test_authority.py::"
WRITTEN = "test_invitation.py::"
READY = "test_readiness.py::"
SIGNED = "test_signing_switched_off.py::"
TROUBLE = "test_control_trouble.py::"
FOLLOWED = "test_followed_settings.py::"
RELEASED = "test_releases.py::"
ADDED_BUILDS = "coordinator/store/added_builds.py"
BUILDS = "test_builds.py::"
DILIGENCE = "coordinator/store/diligence.py"
OBSTACLES = "coordinator/runs/obstacles.py"
PUBLISH = "coordinator/cli/agreement.py"
DILIGENT = "test_diligence.py::"

MUTATIONS: list[tuple[str, str, str, str]] = [
    # keys that were handed over
    (
        "partner_node/control/handing_over.py",
        "    if before is not None and since < moment(before.refused_at) <= now:\n",
        "    if False:\n",
        HANDED + "test_a_hand_over_that_the_coordinator_refused_is_sent_again_after_a_day",
    ),
    (
        "partner_node/store/refused_hand_overs.py",
        "            if error.code == FORK:\n",
        "            if False:\n",
        HANDED + "test_a_refused_hand_over_cuts_no_node_off",
    ),
    (
        "partner_node/shown/status.py",
        "        *refused_words(unsettled(home, store, in_force)),\n",
        "",
        HANDED + "test_a_refused_hand_over_cuts_no_node_off",
    ),
    (
        "coordinator/control/hand_overs.py",
        "                extra=alike(caller.partner, error.code),\n",
        "",
        "test_hand_overs.py::test_of_two_hand_overs_the_first_stays",
    ),
    (
        PROPOSALS,
        "                check_named_keys(proposal.draft.agreement, known)\n",
        "                pass\n",
        "test_hand_overs.py::test_a_key_that_was_handed_over_signs_no_agreement_that_is_not_published_yet",
    ),
    (
        PROPOSALS,
        "        check_named_keys(agreement, KeptHandOvers(self._store).load())\n",
        "",
        "test_hand_overs.py::test_a_key_that_was_handed_over_signs_no_agreement_that_is_not_published_yet",
    ),
    (
        PROPOSALS,
        "            if signature is None or partner not in outdated\n",
        "",
        "test_hand_overs.py::test_a_key_that_was_handed_over_signs_no_agreement_that_is_not_published_yet",
    ),
    (
        "coordinator/store/coordinator_store.py",
        "            check_named_keys(agreement, KeptHandOvers(self).load())\n",
        "",
        "test_hand_overs.py::test_a_key_that_was_handed_over_signs_no_agreement_that_is_not_published_yet",
    ),
    (
        "partner_node/signing.py",
        "        check_named_keys(agreement, home.hand_overs.load())\n",
        "",
        "test_hand_overs.py::test_nobody_signs_beside_a_key_that_was_handed_over",
    ),
    (
        AGREEING,
        "    if store.signed_at(agreement.hash) is None:\n",
        "    if False:\n",
        "test_hand_overs.py::test_what_a_thief_signs_with_a_key_that_was_handed_over_is_not_taken_up",
    ),
    (
        ENROLMENT,
        "        KeptHandOvers(self.store).load().latest_of(card.public_key, partner=card.id)\n",
        "",
        "test_hand_overs.py::test_nobody_joins_with_a_key_that_another_partner_handed_over",
    ),
    (
        "coordinator/control/taking_hand_overs.py",
        "    if others.get(one.old_key, one.partner) != one.partner:\n",
        "    if False:\n",
        "test_hand_overs.py::test_nobody_joins_with_a_key_that_another_partner_handed_over",
    ),
    (
        ADDRESS,
        "                if not _NAME.fullmatch(name):\n",
        "                if False:\n",
        "test_console_sections.py::test_both_sides_refuse_it",
    ),
    (
        PROVIDER,
        "            if not _is_plain(one) or",
        "            if",
        "test_console_sections.py::test_both_sides_refuse_the_provider",
    ),
    (
        TOLD,
        "            if kind in _LAST_ALONE:",
        "            if False:",
        ANNOUNCES + "test_what_comes_again_and_again_pushes_nothing_else_out",
    ),
    # signing in the console
    (
        "partner_node/console/proposals.py",
        "        if isinstance(signing, First):\n",
        "        if False:\n",
        "test_console_signing.py::test_two_people_sign_where_the_agreement_says_so",
    ),
    (
        "partner_node/console/proposals.py",
        "        if not comment:\n",
        "        if False:\n",
        "test_console_signing.py::test_one_person_declines_with_a_comment",
    ),
    (
        "partner_node/console/proposals.py",
        '"may_sign": may(asked.account.role, Permission.SIGN_AGREEMENTS),',
        '"may_sign": True,',
        "test_console_signing.py::test_whoever_only_reads_has_no_form",
    ),
    # what is on record of a node is forgotten with it
    (
        "coordinator/control/nodes.py",
        '            self._store.ask("DELETE FROM certified WHERE node_key = ?", key)\n',
        "",
        "test_enrolment.py::test_the_operator_sees_until_when_a_nodes_certificate_holds",
    ),
    # keys that are handed over
    (
        "coordinator/control/hand_overs.py",
        "        if one.partner != caller.partner:",
        "        if False:",
        "test_hand_overs.py::test_a_partner_hands_over_no_key_but_its_own",
    ),
    (
        "coordinator/control/taking_hand_overs.py",
        "if not concerned and one.old_key not in others:",
        "if False:",
        "test_hand_overs.py::test_a_partner_hands_over_no_key_but_its_own",
    ),
    (
        "coordinator/control/taking_hand_overs.py",
        'for o in known if o.partner in ("", partner) or o.hash in hashes',
        "for o in known",
        "test_hand_overs.py::test_hand_overs_are_told_to_whom_they_concern_alone",
    ),
    # a short code follows from the key under which the node joined
    (
        JOINED,
        "        shown = shown_code(row, known, coordinator_key=coordinator_key)\n",
        "        own = [short_code(row.card, key) for key in known.same_owner(coordinator_key)]\n"
        '        shown = wanted if wanted in own else ""\n',
        HANDED + "test_a_short_code_is_found_after_the_coordinator_replaced_its_key",
    ),
    (
        "coordinator/control/nodes.py",
        ", enrolled_at = excluded.enrolled_at",
        "",
        HANDED + "test_a_short_code_is_found_after_the_coordinator_replaced_its_key",
    ),
    (
        PROPOSALS,
        "int(partner in proposal.outdated)",
        "0",
        HANDED + "test_a_key_that_was_handed_over_signs_no_agreement_that_is_not_published_yet",
    ),
    # a node's own hand-over is refused, and the rest goes on
    (
        PRESENCE,
        "            except RuleError as error:  # it waits",
        "            except AgreementError as error:  # it waits",
        HANDED + "test_a_hand_over_of_before_that_the_coordinator_does_not_know_holds_nothing_up",
    ),
    (
        "partner_node/control/one_by_one.py",
        "            failure = failure or error\n",
        "            raise error\n",
        HANDED + "test_one_that_does_not_hold_keeps_no_other_from_being_taken",
    ),
    (
        "partner_node/control/one_by_one.py",
        "    if failure is not None:\n",
        "    if False:\n",
        HANDED + "test_a_hand_over_that_the_coordinator_makes_up_is_not_taken",
    ),
    (
        "partner_node/handing_over.py",
        "            more = known.with_one(one)\n",
        "            known = more = known.with_one(one)\n",
        HANDED + "test_one_that_does_not_hold_keeps_no_other_from_being_taken",
    ),
    (
        "partner_node/control/taking_up.py",
        "    one_by_one(partial(take_up_at, place) for place in home.places())\n",
        "    for place in home.places():\n        take_up_at(place)\n",
        "test_agreements.py::"
        "test_a_version_that_does_not_follow_keeps_none_of_another_agreement_away",
    ),
    # whom the coordinator's database keeps waiting
    (
        GUARD,
        '    "E-STORE-CONNECT": grpc.StatusCode.UNAVAILABLE,\n',
        "",
        ACCESS + "test_while_the_database_is_away_nodes_are_told_to_call_again",
    ),
    # who may call what
    (
        GUARD,
        "if caller is None or caller.who not in ACCESS[call]:",
        "if caller is None:",
        ACCESS + "test_nothing_of_a_request_is_read_before_its_caller_is_known_to_be_allowed",
    ),
    (
        CALLERS,
        "if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:",
        "if False:",
        ACCESS + "test_a_certificate_that_has_ended_or_not_begun_is_nobodys",
    ),
    (
        CALLERS,
        "    if is_issued_by(certificate, authority):",
        "    if certificate.issuer == authority.subject:",
        ACCESS + "test_an_authority_of_the_same_name_and_another_key_certifies_nobody",
    ),
    (
        CALLERS,
        "who=Who.ADMITTED if bare_key(admitted) == node_key else Who.WAITING",
        "who=Who.ADMITTED",
        ENROLS + "test_a_node_that_joined_waits_and_is_admitted_by_its_code_alone",
    ),
    (
        CALLERS,
        "        if is_issued_by(certificate, row.certificate()):",
        "        if True:",
        ACCESS + "test_names_in_a_certificate_make_nobody",
    ),
    # an invitation is for one partner and one node, until its end
    (
        ENROLMENT,
        "        if card.id != caller.partner:",
        "        if False:",
        ENROLS + "test_a_card_of_another_partner_is_refused",
    ),
    (
        ENROLMENT,
        "        if bare_key(card.node_key) != caller.node_key:",
        "        if False:",
        ENROLS + "test_a_card_with_another_nodes_key_is_refused",
    ),
    (
        ENROLMENT,
        "        verify_card(card, asked.card, caller.invitation, asked.signature)\n",
        "",
        ENROLS + "test_a_card_that_its_own_key_did_not_sign_for_this_invitation_is_refused",
    ),
    (
        INVITATIONS,
        "if row is None or row.node_key not in (None, node_key):",
        "if row is None:",
        ENROLS + "test_an_invitation_is_good_for_one_node_which_may_ask_again",
    ),
    (
        INVITATIONS,
        "if row is None or row.node_key not in (None, node_key):",
        "if row is not None and row.node_key not in (None, node_key):",
        ENROLS + "test_a_node_cannot_be_kept_for_an_invitation_that_ended_meanwhile",
    ),
    (
        INVITATIONS,
        '"WHERE expires_at > ? ORDER BY partner"',
        "\"WHERE expires_at > ? OR expires_at > '' ORDER BY partner\"",
        ENROLS + "test_a_node_cannot_be_kept_for_an_invitation_that_ended_meanwhile",
    ),
    (
        NODES,
        "            if known is not None and known.partner != card.id:",
        "            if False:",
        ENROLS + "test_one_node_is_not_two_partners",
    ),
    (
        NODES,
        "row.node_key not in (key, bare_key(admitted))",
        "row.node_key != key",
        ENROLS + "test_whoever_joins_anew_does_not_shut_out_the_node_that_is_admitted",
    ),
    # codes and cards
    (
        JOINED,
        "    for row in EnrolledNodes(store).waiting():",
        "    for row in EnrolledNodes(store).all():",
        ENROLS + "test_a_node_that_joined_waits_and_is_admitted_by_its_code_alone",
    ),
    (
        JOINED,
        "if row.node_key not in waiting",
        "if row.node_key",
        JOINS + "test_a_draft_takes_the_cards_of_admitted_partners_that_joined",
    ),
    # keys and files
    (
        AUTHORITY,
        "if (directory / KEY_FILE).exists() or (directory / CERTIFICATE_FILE).exists():",
        "if (directory / KEY_FILE).exists() and (directory / CERTIFICATE_FILE).exists():",
        CERTIFIES + "test_an_authority_of_which_half_is_lost_is_not_made_anew",
    ),
    (
        AUTHORITY,
        "            or certificate.public_key() != key.public_key()\n",
        "",
        CERTIFIES + "test_another_passphrase_or_another_certificate_is_refused",
    ),
    # at the node
    (
        PINNED,
        "if not hmac.compare_digest(key_fingerprint(certificate.public_key()), fingerprint):",
        "if False:",
        ENROLS + "test_a_port_with_another_key_than_the_invitation_says_is_not_greeted",
    ),
    (
        JOINING,
        "    if invitation.end <= now:",
        "    if False:",
        ENROLS + "test_an_invitation_that_was_replaced_withdrawn_or_has_ended_is_refused",
    ),
    (
        JOINING,
        "        ours = certificate.public_key() == keystore.node_key.public_key()",
        "        ours = True",
        ENROLS + "test_a_certificate_of_another_key_is_not_taken",
    ),
    (
        JOINING,
        "    if own.id != greeting.partner:",
        "    if False:",
        JOINS + "test_an_invitation_for_another_partner_is_not_used_in_a_folder",
    ),
    (
        JOIN,
        "    if home.config.coordinator.control != invited.address:",
        "    if False:",
        JOINS + "test_a_node_of_another_coordinator_is_never_joined_over",
    ),
    (
        PRESENCE,
        "                self._channel.close()\n",
        "                pass\n",
        JOINS + "test_the_end_of_serving_waits_for_no_answer",
    ),
    # agreements online
    (
        AGREEMENTS,
        "if found is None or not _is_party(caller, found):",
        "if found is None:",
        AGREES + "test_an_agreement_is_shown_to_its_parties_alone",
    ),
    (
        AGREEMENTS,
        "for one in Proposals(self.store).all() if _is_party(caller, one)",
        "for one in Proposals(self.store).all()",
        AGREES + "test_an_agreement_is_shown_to_its_parties_alone",
    ),
    (
        PROPOSALS,
        "        proposal.draft.envelope.with_signature(key, signature)\n",
        "        assert key\n",
        AGREES + "test_nobody_signs_in_another_partners_name",
    ),
    (
        PROPOSALS,
        "if any(a.partner == partner and a.kind == SIGNED for a in proposal.answers):",
        "if False:",
        AGREES + "test_a_partner_declines_with_a_comment_that_all_read_and_may_sign_later",
    ),
    (
        PROPOSALS,
        "    if other:\n",
        "    if False:\n",
        AGREES + "test_only_admitted_partners_that_joined_with_these_keys_are_proposed_to",
    ),
    (
        PROPOSALS,
        "and not one.complete\n",
        "\n",
        AGREES + "test_a_new_proposal_takes_the_place_of_an_open_one_and_of_no_signed_one",
    ),
    (
        FETCHED,
        "    if agreement.hash != found.hash:",
        "    if False:",
        AGREES + "test_another_agreement_than_the_one_that_was_named_is_not_signed",
    ),
    (
        FETCHED,
        "    if (agreement.id, agreement.version) != (found.id, found.version):",
        "    if agreement.version != found.version:",
        AGREES + "test_another_agreement_that_is_told_of_as_the_next_version_is_not_taken_up",
    ),
    (
        FETCHED,
        "    if (agreement.id, agreement.version) != (found.id, found.version):",
        "    if agreement.id != found.id:",
        AGREES
        + "test_the_agreement_in_force_that_is_told_of_as_a_later_version_is_not_taken_up_again",
    ),
    (
        FETCHED,
        "if membership is None or key not in known.same_owner(membership.coordinator_key):",
        "if membership is None:",
        AGREES + "test_an_agreement_of_another_coordinator_is_not_signed",
    ),
    (
        AGREEING,
        "    agreement = verified(signed, where)\n",
        "    agreement = signed.agreement\n",
        AGREES + "test_the_coordinators_word_that_all_signed_is_not_believed",
    ),
    (
        AGREEING,
        "    if not downgrade:\n",
        "    if False:\n",
        AGREES + "test_a_version_that_does_not_follow_the_one_in_force_is_refused",
    ),
    (
        TAKEN_UP,
        "    return id == installed.id and version > installed.version\n",
        "    return version > installed.version\n",
        AGREES + "test_another_agreement_is_not_put_in_the_place_of_the_one_in_force",
    ),
    # announcements and stops
    (
        STREAM,
        "                await admitted()\n        finally:",
        "                pass\n        finally:",
        ANNOUNCES + "test_the_stream_of_a_removed_node_ends",
    ),
    (
        STREAM,
        "return not self._ended and self._newest.get(caller.node_key) is ours",
        "return not self._ended",
        ANNOUNCES + "test_a_node_has_one_stream_and_the_newest_counts",
    ),
    (
        TOLD,
        '" WHERE partner = ? AND number > ? ORDER BY number"',
        '" WHERE partner <> ? || char(0) AND number > ? ORDER BY number"',
        ANNOUNCES + "test_a_partner_is_told_of_its_own_agreements_alone",
    ),
    (
        TOLD,
        "            _KEPT,\n",
        "            10**9,\n",
        ANNOUNCES + "test_old_announcements_are_deleted_and_numbers_go_on",
    ),
    (
        STOPS,
        "        if stop.partner != caller.partner:",
        "        if False:",
        ANNOUNCES + "test_a_stop_is_taken_of_the_partner_that_signed_it_alone",
    ),
    (
        PARTIES,
        "    if all(party.id != caller.partner for party in agreement.parties):",
        "    if False:",
        ANNOUNCES + "test_a_stop_is_taken_of_the_partner_that_signed_it_alone",
    ),
    (
        STOPPING,
        "    stop.verify(agreement)\n",
        "",
        ANNOUNCES + "test_a_stop_that_no_partner_signed_is_not_believed",
    ),
    (
        PRESENCE,
        "            except RuleError as error:",
        "            except ZeroDivisionError as error:",
        ANNOUNCES + "test_what_does_not_follow_is_said_once_and_the_node_goes_on",
    ),
    # readiness
    (
        PARTIES,
        "    if all(party.id != caller.partner for party in agreement.parties):",
        "    if False:",
        READY + "test_a_node_tells_of_its_own_agreements_alone",
    ),
    (
        CODES,
        "ABOUT_CUSTOMERS if noised and code not in OF_ITSELF else known(code)",
        "known(code)",
        READY + "test_what_a_node_tells_is_codes_alone",
    ),
    (
        CODES,
        "noised and code not in OF_ITSELF",
        "noised and code in CODES - OF_ITSELF",
        READY + "test_with_noise_one_code_stands_for_all_that_may_hang_on_a_customer",
    ),
    (
        TELLS_READINESS,
        "about_customers=[code for name, code in failed if name in _READ_CUSTOMERS]",
        "about_customers=[]",
        READY + "test_what_a_node_tells_is_codes_alone",
    ),
    (
        TELLS_READINESS,
        "for_each_in_force(home, lambda one: _tell(store, channel, one.hash))",
        "[_tell(store, channel, one.hash) for one in sound_in_force(home)]",
        READY + "test_an_agreement_that_is_refused_keeps_no_other_from_being_told",
    ),
    (
        TELLS_READINESS,
        "        store.save_egress(",
        "        str(",
        READY + "test_readiness_is_told_once_and_is_on_record_before_it_leaves",
    ),
    (
        TAKES_READINESS,
        "set(map(known, said.codes))",
        "set(said.codes)",
        READY + "test_the_coordinator_keeps_known_codes_and_nothing_else",
    ),
    (
        TAKES_READINESS,
        "        if len(said.codes) > len(CODES):",
        "        if False:",
        READY + "test_the_coordinator_keeps_known_codes_and_nothing_else",
    ),
    (
        TAKES_READINESS,
        "min(said.since, int(now.timestamp()))",
        "min(said.since, 2**33)",
        READY + "test_nothing_is_so_since_a_time_that_is_to_come",
    ),
    (
        CHECKING,
        "        if now - self._asked_at < ASKED_EVERY_S:",
        "        if False:",
        READY + "test_a_check_is_due_when_wanted_and_seldom_for_the_operator",
    ),
    (
        CHECKING,
        "home = self._home.as_it_stands()  #",
        "home = self._home  #",
        FOLLOWED + "test_a_section_for_another_agreement_is_checked_without_a_restart",
    ),
    (
        "partner_node/followed_settings.py",
        "        changed()\n",
        "",
        FOLLOWED + "test_a_serving_node_that_gets_no_message_tells_of_its_changed_settings",
    ),
    (
        "partner_node/followed_settings.py",
        "            nodes_of(self._directory)\n",
        "            pass\n",
        FOLLOWED + "test_what_cannot_be_taken_up_is_logged_once_and_said_to_have_changed",
    ),
    (
        "partner_node/followed_settings.py",
        "        if mark == self._mark:\n",
        "        if False:\n",
        FOLLOWED + "test_a_serving_node_that_gets_no_message_tells_of_its_changed_settings",
    ),
    # signing
    (
        "partner_node/signing.py",
        "    note_signature(home, signing, now)\n    found = leave()\n",
        "    found = leave()\n    note_signature(home, signing, now)\n",
        SIGNED
        + "test_a_node_that_is_switched_off_at_any_step_of_signing_ends_it_with_the_same_command",
    ),
    (
        "partner_node/signing.py",
        "    found = leave()\n    _forget_word(home, signing.copy.agreement)\n",
        "    _forget_word(home, signing.copy.agreement)\n    found = leave()\n",
        SIGNED
        + "test_a_node_that_is_switched_off_at_any_step_of_signing_ends_it_with_the_same_command",
    ),
    # what keeps a node from the port
    (
        "partner_node/control/channel.py",
        "self._trouble() or self._own_end()",
        "self._own_end()",
        TROUBLE + "test_another_authority_is_told_as_that",
    ),
    (
        "partner_node/control/channel.py",
        "self._trouble() or self._own_end()",
        "self._trouble()",
        TROUBLE + "test_a_nodes_own_certificate_that_has_ended_is_told_as_that",
    ),
    (
        "partner_node/control/channel.py",
        "ours = trouble.code == TLS or ",
        "ours = ",
        TROUBLE + "test_a_port_that_speaks_no_tls_is_told_as_that",
    ),
    # releases
    (
        RELEASES,
        "farewell = farewell_of(self.store, run, caller.partner) if run.ended else None",
        "farewell = Publish(run_hash=bytes(32), release=self.store.release(run_id))",
        RELEASED + "test_a_release_is_for_its_participants_alone",
    ),
    (
        RELEASES,
        "        and not store.has_acknowledged(run_id, party.id)\n",
        "",
        RELEASED + "test_a_serving_node_is_woken_by_the_release_that_it_lacks",
    ),
    (
        RELEASES,
        "        if is_taken(said.reply or None, said.code, partner=names.index(caller.partner)):",
        "        if names:",
        RELEASED + "test_what_is_no_answer_of_the_partner_leaves_the_release_open",
    ),
    (
        FAREWELLS,
        "        return Ack.from_bytes(message).partner == partner",
        "        return Ack.from_bytes(message).partner >= 0",
        RELEASED + "test_what_is_no_answer_of_the_partner_leaves_the_release_open",
    ),
    (
        FAREWELLS,
        "        return bool(code) and not code.startswith(PASSING)",
        "        return bool(code)",
        RELEASED + "test_what_is_no_answer_of_the_partner_leaves_the_release_open",
    ),
    # texts
    (
        TEXT,
        "if len(body) <= _HEAD_BYTES or check != _check(body):",
        "if len(body) <= _HEAD_BYTES:",
        WRITTEN + "test_an_invitation_in_which_a_letter_changed_is_refused",
    ),
    (
        TEXT,
        "        check_address(self.address)\n",
        "",
        WRITTEN + "test_an_address_that_nobody_can_call_makes_no_invitation",
    ),
    # places at the port
    (
        GUARD,
        "        self.met(shown.peer, ",
        "        (lambda *_: None)(shown.peer, ",
        FLOODS + "test_a_flood_ends_no_connection_that_a_node_has",
    ),
    (
        GUARD,
        '"" if caller is None else caller.invitation or caller.node_key',
        'str(shown.identity.get("x509_pem_cert"))',
        FLOODS + "test_a_connection_whose_caller_is_shut_out_is_a_strangers_again",
    ),
    # the way out
    (
        "machine/quiet_grpc.py",
        'os.environ["no_grpc_proxy"] = ""',
        'os.environ.pop("no_grpc_proxy", "")',
        "test_proxies.py::"
        "test_no_variable_of_the_environment_leads_a_call_past_the_proxy_or_to_one",
    ),
    (
        CHANNEL,
        '("grpc.enable_http_proxy", int(proxy is not None)),',
        '("grpc.enable_http_proxy", 1),',
        "test_proxies.py::"
        "test_no_variable_of_the_environment_leads_a_call_past_the_proxy_or_to_one",
    ),
    (
        "partner_node/cli/joining.py",
        "now=now, proxy=way_to(invited.address, settings))",
        "now=now)",
        "test_proxies.py::test_a_partner_joins_through_a_proxy_and_its_node_keeps_to_it",
    ),
    (
        "partner_node/control/belonging.py",
        "        proxy=way_to(address, home.config.coordinator.proxy),\n",
        "",
        "test_proxies.py::test_a_partner_joins_through_a_proxy_and_its_node_keeps_to_it",
    ),
    # what `check` finds
    (
        REACHED,
        "    if not standing.admitted:",
        "    if False:",
        "test_reached.py::test_a_node_that_waits_and_one_that_was_removed_are_told_so",
    ),
    (
        REACHED,
        "    if ahead_s > _MENTIONED_S or ahead_s < -_MOST_BEHIND_S:",
        "    if False:",
        "test_reached.py::test_clocks_that_differ_are_a_problem_when_runs_are_refused_for_it",
    ),
    (
        REACHED,
        "    if end <= now:",
        "    if False:",
        "test_reached.py::"
        "test_a_certificate_that_ends_soon_or_has_ended_is_a_warning_with_a_way_out_that_works",
    ),
    # builds
    (
        PARTIES,
        "if all(party.id != caller.partner for party in agreement.parties):",
        "if False:",
        BUILDS + "test_builds_are_told_to_parties_alone_and_nobody_signs_for_another",
    ),
    (
        ADDED_BUILDS,
        " if not one.missing(agreement, kept=True)",
        "",
        BUILDS + "test_a_build_is_complete_when_the_parties_signed_it_online",
    ),
    # due diligence
    (
        DILIGENCE,
        "            if not record.is_of(party.public_key, known=known):\n",
        "            if False:\n",
        DILIGENT + "test_each_party_without_a_record_that_holds_is_named",
    ),
    (
        DILIGENCE,
        "            record.verify(agreement.coordinator.public_key, known=known)\n",
        "",
        DILIGENT + "test_each_party_without_a_record_that_holds_is_named",
    ),
    (
        DILIGENCE,
        "        if lacking:\n",
        "        if False:\n",
        DILIGENT + "test_each_party_without_a_record_that_holds_is_named",
    ),
    (
        PROPOSALS,
        "        Diligence(self._store).check(agreement, now)\n",
        "",
        DILIGENT + "test_without_it_nothing_is_proposed_and_the_last_signature_is_not_taken",
    ),
    (
        PROPOSALS,
        "            Diligence(self._store).check(proposal.draft.agreement, now)\n",
        "            str(now)\n",
        DILIGENT + "test_without_it_nothing_is_proposed_and_the_last_signature_is_not_taken",
    ),
    (
        PUBLISH,
        "        Diligence(store).check(joined.agreement, datetime.now(UTC))\n",
        "",
        DILIGENT + "test_the_operators_commands_and_what_a_partner_sees_of_it",
    ),
    (
        OBSTACLES,
        "        lambda: Diligence(store).check(agreement, now),\n",
        "",
        DILIGENT + "test_the_operators_commands_and_what_a_partner_sees_of_it",
    ),
    (
        FETCHED,
        "        record.verify(agreement.coordinator.public_key, known=home.hand_overs.load())\n",
        "        str(record)\n",
        DILIGENT + "test_the_operators_commands_and_what_a_partner_sees_of_it",
    ),
    # one person is enough to decline
    (
        FETCHED,
        "    forgotten = forget_first(home, digits)\n",
        "    forgotten = False\n",
        "test_console_signing.py::test_after_a_decline_two_people_sign_anew",
    ),
    # authorities that nodes trust
    (
        TAKES_AUTHORITIES,
        "        found.verify(key)\n",
        "",
        TRUSTS + "test_nobody_but_the_coordinators_key_in_force_says_whom_a_node_trusts",
    ),
    (
        TAKES_AUTHORITIES,
        'home.hand_overs.load().latest_of(membership.coordinator_key, partner="")',
        "membership.coordinator_key",
        TRUSTS + "test_a_key_that_was_handed_over_states_nothing_any_more",
    ),
    (
        "protocol/control/authorities.py",
        " and len(self.envelope.signatures) == 1\n",
        "\n",
        TRUSTS + "test_nobody_but_the_coordinators_key_in_force_says_whom_a_node_trusts",
    ),
    (
        TAKES_AUTHORITIES,
        "        _check_later(found, last)\n",
        "",
        TRUSTS + "test_an_old_statement_brings_no_authority_back",
    ),
    (
        TAKES_AUTHORITIES,
        "    if found.envelope.payload != last.envelope.payload:",
        "    if found.number < last.number:",
        TRUSTS + "test_an_old_statement_brings_no_authority_back",
    ),
    (
        TAKES_AUTHORITIES,
        "        found.check_time(now)\n",
        "",
        TRUSTS + "test_an_authority_that_has_ended_is_not_taken",
    ),
    (
        TAKES_AUTHORITIES,
        "        _check_connection(home, found)\n",
        "        pass\n",
        TRUSTS + "test_a_node_takes_no_authorities_that_would_cut_it_off",
    ),
    (
        TAKES_AUTHORITIES,
        "is not None and _has(home, last) else 0",
        "is not None else 0",
        TRUSTS + "test_a_file_that_was_put_back_is_told_and_mended",
    ),
    (
        PRESENCE,
        "*((self._take_up, accept_builds) if is_readable else ())",
        "self._take_up",
        AGREES + "test_while_its_configuration_cannot_be_read_nothing_is_put_into_force",
    ),
    (
        PRESENCE,
        "        try:\n            self._home = self._home.current()\n",
        "        try:\n            self._home.current()\n",
        AGREES + "test_a_serving_node_takes_up_where_its_configuration_says_by_then",
    ),
    (
        "partner_node/serving.py",
        "apply_retention(home.current(), now)",
        "apply_retention(home, now)",
        AGREES + "test_records_are_kept_as_the_sections_say_that_there_are_now",
    ),
    (
        "partner_node/control/in_force.py",
        "    one_by_one(partial(at, place) for place in home.places())",
        "    [action(one) for one in home.agreements_in_force()]",
        "test_announcements.py::test_an_agreement_in_a_bad_way_keeps_no_stop_of_another_back",
    ),
    (
        TAKES_AUTHORITIES,
        "is_own or (has_all and not dropped)",
        "is_own or has_all",
        TRUSTS + "test_a_node_that_trusts_what_was_dropped_has_not_taken_that_and_asks_in_peace",
    ),
    (
        TAKES_AUTHORITIES,
        "file.parent.resolve().is_relative_to(folder)",
        "bool(folder)",
        TRUSTS + "test_a_file_outside_the_nodes_folder_is_left_to_people",
    ),
    (
        TAKES_AUTHORITIES,
        "not file.is_symlink() and ",
        "",
        TRUSTS + "test_a_link_in_the_nodes_folder_is_not_replaced",
    ),
    (
        "coordinator/control/telling_authorities.py",
        " and newest.certify(self.chain())",
        "",
        TRUSTS + "test_a_node_takes_no_authorities_that_would_cut_it_off",
    ),
    (
        NODES,
        '            self._store.ask("DELETE FROM trusting WHERE node_key = ?", key)\n',
        "",
        TRUSTS + "test_whoever_is_removed_is_waited_for_no_longer",
    ),
    (
        "coordinator/control/shown_certificate.py",
        "            belong = chain[0].public_key() == private.public_key()\n",
        "            belong = bool(private)\n",
        TRUSTS + "test_the_port_shows_the_new_certificate_to_whoever_connects_from_now_on",
    ),
    (
        PRESENCE,
        "            self._do((take_authorities,), channel)\n",
        "",
        TRUSTS + "test_a_serving_node_that_waits_to_be_admitted_takes_it_too",
    ),
]
