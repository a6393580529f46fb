//! The catalogue of faults that plan, apply and undo must survive, by its row numbers, each with the tests that show
//! it. A row without a test, or a test that is not there, fails.
#![allow(clippy::disallowed_methods, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Row, fault, tests.
const TABLE: &[(u32, &str, &[&str])] = &[
    (
        1,
        "kill -9 at each system call",
        &[
            "debian_12_survives_some_kills_of_install_and_uninstall",
            "every_kill_of_install",
            "every_kill_of_upgrade",
        ],
    ),
    (
        2,
        "kill -9 between a journal record and its step",
        &[
            "the_first_install_ends_or_never_was",
            "an_upgrade_ends_or_never_was",
        ],
    ),
    (
        3,
        "kill -9 after a step and before the next record",
        &[
            "the_first_install_ends_or_never_was",
            "an_upgrade_ends_or_never_was",
        ],
    ),
    (
        4,
        "kill -9 during rollback and uninstall",
        &[
            "a_rollback_ends_or_never_was",
            "every_kill_of_rollback",
            "every_kill_of_uninstall",
            "debian_12_kills_of_an_uninstall",
        ],
    ),
    (
        5,
        "power cut: a new file of 0 bytes",
        &["power_cuts_of_install", "power_cuts_of_upgrade"],
    ),
    (
        6,
        "power cut: an empty unit is masked",
        &["debian_12_rows_of_an_installed_host"],
    ),
    (
        7,
        "power cut: a rename lost, the receipt ahead of it",
        &["power_cuts_of_install", "power_cuts_of_upgrade"],
    ),
    (
        8,
        "no space left at a write",
        &[
            "debian_12_takes_some_failing_writes_back",
            "every_failing_write_of_install",
            "every_failing_write_of_upgrade",
            "a_host_that_is_not_ready_is_refused_and_left_as_it_was",
        ],
    ),
    (
        9,
        "no space left for the receipt",
        &["a_host_that_is_not_ready_is_refused_and_left_as_it_was"],
    ),
    (
        10,
        "an I/O error from fsync",
        &[
            "debian_12_takes_some_failing_writes_back",
            "every_failing_write_of_upgrade",
        ],
    ),
    (
        11,
        "/etc is read-only",
        &["a_host_that_is_not_ready_is_refused_and_left_as_it_was"],
    ),
    (
        12,
        "the target on another file system",
        &[
            "a_write_is_whole_and_leaves_no_temporary",
            "power_cuts_of_install",
        ],
    ),
    (
        13,
        "SIGTERM, Ctrl-C, hang-up in the middle",
        &["the_owners_things_on_debian_12"],
    ),
    (
        14,
        "out of memory: the tool is killed",
        &["every_kill_of_install", "every_kill_of_upgrade"],
    ),
    (
        15,
        "reboot in the middle",
        &["debian_12_rows_of_an_installed_host"],
    ),
    (
        16,
        "stack file truncated, empty, huge, NUL, BOM, deep",
        &[
            "hostile_files_are_refused_without_panic",
            "every_fault_of_the_parser_comes_with_a_place_and_help",
        ],
    ),
    (
        17,
        "receipt damaged, missing, of a newer version",
        &[
            "debian_13_generations",
            "debian_12_uninstall_without_a_receipt",
        ],
    ),
    (
        18,
        "receipt of an older version",
        &[
            "the_first_receipt_is_read",
            "the_first_journals_are_read",
            "the_second_receipt_is_read",
            "an_old_receipt_loses_nothing_when_it_is_written_anew",
            "every_fixture_is_read_by_a_test",
        ],
    ),
    (
        19,
        "two runs at once",
        &["of_twenty_installs_at_once_one_works"],
    ),
    (
        20,
        "a stale lock after kill -9",
        &["debian_13_changes", "of_twenty_installs_at_once_one_works"],
    ),
    (
        21,
        "a run while another part of Tavern wants one",
        &["debian_12_confirms"],
    ),
    (
        22,
        "a managed file edited by hand",
        &[
            "debian_13_generations",
            "debian_12_rows_of_an_installed_host",
        ],
    ),
    (
        23,
        "a managed file deleted by hand",
        &["debian_12_rows_of_an_installed_host"],
    ),
    (
        24,
        "the same content, another mode or owner",
        &[
            "a_right_file_needs_nothing_and_a_wrong_mode_is_drift",
            "debian_13_changes",
        ],
    ),
    (
        25,
        "a managed file replaced by a link or directory",
        &[
            "links_and_directories_in_a_files_place_are_refused_even_when_adopted",
            "a_host_that_is_not_ready_is_refused_and_left_as_it_was",
        ],
    ),
    (
        26,
        "groups, units, containers deleted before uninstall",
        &[
            "debian_12_uninstall_without_a_receipt",
            "debian_12_rows_of_an_installed_host",
        ],
    ),
    (
        27,
        "leftovers of a half install",
        &[
            "debian_12_uninstall_without_a_receipt",
            "debian_13_generations",
        ],
    ),
    (
        28,
        "the same install twice",
        &[
            "debian_12_from_bare_to_site_and_back",
            "debian_13_from_bare_to_site_and_back",
        ],
    ),
    (
        29,
        "the clock jumps back between runs",
        &["generations_are_ordered_by_number_whatever_the_clock_says"],
    ),
    (
        30,
        "dpkg's lock is held",
        &["another_apt_is_waited_for_and_asks_nothing"],
    ),
    (
        31,
        "the user's own site is broken already",
        &["a_host_that_is_not_ready_is_refused_and_left_as_it_was"],
    ),
    (
        32,
        "our file breaks `nginx -t`",
        &["a_host_that_is_not_ready_is_refused_and_left_as_it_was"],
    ),
    (
        33,
        "port 80 or 443 held by another program",
        &["a_host_that_is_not_ready_is_refused_and_left_as_it_was"],
    ),
    (
        34,
        "a reload accepted and not applied",
        &["debian_13_changes"],
    ),
    (
        35,
        "a duplicate server_name is but a warning",
        &["warnings_about_our_names_are_failures"],
    ),
    (
        36,
        "a duplicate default server",
        &[
            "a_host_that_is_not_ready_is_refused_and_left_as_it_was",
            "debian_12_from_bare_to_site_and_back",
        ],
    ),
    (
        37,
        "a duplicate upstream, zone or log format",
        &["a_host_that_is_not_ready_is_refused_and_left_as_it_was"],
    ),
    (
        38,
        "the default server decides TLS, curves, timeouts",
        &[
            "where_no_stack_answers_to_any_name_the_default_server_rejects",
            "debian_12_sites_of_every_kind",
        ],
    ),
    (
        39,
        "the wrong Host behind the right name in the handshake",
        &[
            "only_the_stack_whose_name_was_in_the_handshake_answers",
            "debian_12_sites_of_every_kind",
        ],
    ),
    (
        40,
        "`return` goes round access rules",
        &[
            "no_location_has_both_access_rules_and_return",
            "a_redirect_leads_where_it_says_and_asks_nobody",
            "faults_of_sites_are_named_with_their_place",
        ],
    ),
    (
        41,
        "a password file that is missing or cannot be read",
        &["debian_12_sites_of_every_kind"],
    ),
    (
        42,
        "password hashes that stall nginx",
        &[
            "site_hashes_have_the_form_that_crypt_keeps",
            "site_hash_verifies_with_libcrypt",
        ],
    ),
    (
        43,
        "an empty allowlist",
        &["lists_that_would_let_everybody_in_are_refused"],
    ),
    (
        44,
        "everybody on the allowlist, host bits, IPv4 as IPv6",
        &[
            "lists_that_would_let_everybody_in_are_refused",
            "everybody_is_seen_however_it_is_written",
            "the_rule_and_nginxs_file_agree",
        ],
    ),
    (
        45,
        "behind a proxy every client has one address",
        &[
            "a_proxy_that_nobody_listed_is_seen_in_the_log",
            "a_hop_that_is_allowed_itself_is_doubtful",
            "debian_12_lets_in_who_the_rules_let_in",
        ],
    ),
    (
        46,
        "an app's socket that is missing, stale or of another mode",
        &["debian_12_sites_of_every_kind"],
    ),
    (
        47,
        "`http2` by nginx's version",
        &[
            "http2_is_written_the_way_the_installed_nginx_reads_it",
            "debian_13_sites_of_every_kind",
        ],
    ),
    (
        48,
        "no IPv6, no IPv4",
        &[
            "only_families_that_the_kernel_has_are_listened_on",
            "debian_12_listens_on_the_families_that_the_kernel_has",
        ],
    ),
    (
        49,
        "temporary and backup files in sites-enabled",
        &[
            "a_write_is_whole_and_leaves_no_temporary",
            "debian_12_survives_some_kills_of_install_and_uninstall",
        ],
    ),
    (
        50,
        "sites-enabled not read, nginx.conf customised, no nginx",
        &[
            "a_host_that_is_not_ready_is_refused_and_left_as_it_was",
            "nginx_orgs_reads_no_sites_and_has_its_own_user",
            "debian_12_from_bare_to_site_and_back",
        ],
    ),
    (
        51,
        "host names that nginx takes and nobody means",
        &[
            "three_hundred_hostile_values_reach_no_file",
            "names_in_other_scripts_are_what_dns_has_of_them",
        ],
    ),
    (
        52,
        "paths with variables, quotes, dots",
        &[
            "three_hundred_hostile_values_reach_no_file",
            "raw_control_characters_are_refused_at_their_place",
        ],
    ),
    (
        53,
        "a header value with `$`",
        &[
            "values",
            "no_value_becomes_a_directive",
            "faults_of_sites_are_named_with_their_place",
        ],
    ),
    (
        54,
        "nginx crashes",
        &[
            "debian_12_sites_of_every_kind",
            "debian_13_sites_of_every_kind",
        ],
    ),
    (
        55,
        "no room for logs",
        &["debian_12_serves_on_through_slow_and_rude_clients"],
    ),
    (
        56,
        "slow headers",
        &["debian_12_serves_on_through_slow_and_rude_clients"],
    ),
    (
        57,
        "slow bodies",
        &["debian_12_serves_on_through_slow_and_rude_clients"],
    ),
    (
        58,
        "HTTP/2 streams that are reset at once",
        &["debian_12_serves_on_through_slow_and_rude_clients"],
    ),
    (
        59,
        "request smuggling shapes",
        &[
            "debian_13_refuses_raw_requests_and_serves_others",
            "two_lengths_and_oversize_are_refused_by_the_app_itself",
        ],
    ),
    (
        60,
        "oversized header, body, address",
        &[
            "debian_13_refuses_raw_requests_and_serves_others",
            "two_lengths_and_oversize_are_refused_by_the_app_itself",
        ],
    ),
    (
        61,
        "a client sends X-Forwarded-*",
        &[
            "debian_13_refuses_raw_requests_and_serves_others",
            "a_visitors_word_on_who_they_are_is_taken_from_listed_hops_only",
        ],
    ),
    (
        62,
        "key and certificate do not fit",
        &[
            "halves_of_two_pairs",
            "debian_12_refuses_pairs_that_cannot_be_served_before_it_writes",
        ],
    ),
    (
        63,
        "a certificate that is expired, or not valid yet",
        &[
            "lives_that_are_over_or_have_not_begun",
            "life_and_key_both_ways",
            "debian_12_refuses_pairs_that_cannot_be_served_before_it_writes",
        ],
    ),
    (
        64,
        "the clock is wrong by days",
        &[
            "what_is_made_reads_back",
            "made_anew_when_a_third_of_its_life_is_left_or_a_name_is_missing",
            "pauses_grow_and_end",
        ],
    ),
    (
        65,
        "an intermediate is missing, the root is in the chain, the order is wrong",
        &[
            "chains_that_browsers_stumble_over",
            "debian_12_refuses_pairs_that_cannot_be_served_before_it_writes",
        ],
    ),
    (
        66,
        "a name is not covered, or by the common name only, or a wildcard is not deep enough",
        &["names_it_does_not_have"],
    ),
    (
        67,
        "RSA 1024, SHA-1, an encrypted key, DER, CRLF, a key that everybody may read",
        &[
            "weak_and_locked_ones_of_openssl",
            "what_is_not_pem",
            "a_good_pair_passes_also_with_line_ends_of_windows",
            "debian_12_refuses_pairs_that_cannot_be_served_before_it_writes",
        ],
    ),
    (
        68,
        "the key of the local CA is stolen",
        &[
            "an_authority_vouches_for_its_names_and_no_others",
            "it_signs_no_authority",
            "debian_12_trusts_its_own_ca_for_its_own_names",
            "a_database_that_could_not_be_written_is_tried_again",
            "trust_that_was_cut_off_is_taken_back",
        ],
    ),
    (
        69,
        "ACME: nonces rejected, rate limit, DNS wrong, port 80 shut, CAA, CA down",
        &[
            "refusals_say_what_to_do",
            "while_the_authority_is_down_the_old_one_stays",
            "one_that_fails_stops_no_other_and_is_left_alone_for_a_while",
            "debian_12_gets_renews_and_takes_back_what_an_authority_signs",
            "debian_13_is_bound_to_an_account_and_renews_when_its_authority_says_so",
        ],
    ),
    (
        70,
        "a renewal is killed between key and certificate",
        &[
            "a_renewal_ends_wherever_it_is_cut_off",
            "debian_12_gets_renews_and_takes_back_what_an_authority_signs",
        ],
    ),
    (
        71,
        "renewed, and nginx was not told",
        &["a_renewal_ends_wherever_it_is_cut_off", "served_and_file"],
    ),
    (
        72,
        "no systemd, in a container",
        &["a_machine_without_systemd_is_told_of_up"],
    ),
    (
        73,
        "an old systemd ignores hardening keys",
        &[
            "debian_12_service",
            "debian_12_sandbox_and_graders",
            "debian_13_sandbox_and_graders",
        ],
    ),
    (
        74,
        "a crash loop kills the socket",
        &["debian_12_service", "debian_13_service"],
    ),
    (
        75,
        "a credential is missing or unusable",
        &["debian_12_service", "a_missing_credential_stops_the_start"],
    ),
    (
        76,
        "started, says systemctl, and 203/EXEC",
        &["debian_12_service", "debian_13_service"],
    ),
    (
        77,
        "newlines, `%`, `$`, quotes in a unit",
        &["systemd_words", "systemd_words_do_not_break_out"],
    ),
    (
        78,
        "a unit changed without daemon-reload",
        &["an_upgrade_ends_or_never_was", "each_state_of_a_unit"],
    ),
    (
        79,
        "a drop-in or mask of the administrator's",
        &["debian_12_service", "each_state_of_a_unit"],
    ),
    (
        80,
        "a stale socket, a directory in its place",
        &["debian_12_service", "debian_13_service"],
    ),
    (
        81,
        "journald absent, full or slow",
        &[
            "debian_12_service",
            "debian_13_service",
            "another_goes_on_where_one_ended",
            "debian_13_logs_are_watched",
        ],
    ),
    (
        82,
        "secrets in a unit's environment",
        &[
            "no_secret_is_where_others_can_see_it",
            "no_secret_is_in_what_expansion_gives",
        ],
    ),
    (
        83,
        "a process that hangs",
        &["debian_12_service", "the_watchdog_goes_through_the_door"],
    ),
    (
        84,
        "Docker's socket is absent, or nobody answers on it",
        &[
            "debian_12_keeps_its_containers",
            "debian_13_keeps_its_containers",
            "a_host_that_is_not_ready_is_refused_and_left_as_it_was",
            "debian_13_says_what_changed",
        ],
    ),
    (
        85,
        "Docker's API is too old or too new",
        &[
            "an_api_that_is_too_old_is_named_and_another_version_agreed_upon",
            "an_engine_of_another_version_is_asked_for_it_again",
        ],
    ),
    (
        86,
        "an image cannot be pulled",
        &[
            "an_adoption_that_fails_leaves_the_old_host_serving",
            "a_mend_that_fails_says_where_and_leaves_no_run",
            "nor_while_the_image_of_a_changed_one_comes",
            "without_a_network_the_image_comes_from_its_file",
            "debian_13_keeps_its_containers",
        ],
    ),
    (
        87,
        "an error inside a pull that began with 200",
        &["an_error_in_the_middle_of_a_pull_that_began_well_is_an_error"],
    ),
    (
        88,
        "the name is a foreign container's",
        &[
            "what_is_held_or_somebody_elses_or_under_a_run_is_left_alone",
            "somebody_elses_container_is_never_mended",
            "debian_13_keeps_its_containers",
        ],
    ),
    (
        89,
        "the volume is there, with other data",
        &[
            "a_volume_of_somebody_elses_is_not_taken_without_leave",
            "a_volume_with_other_data_is_not_given_to_a_postgres",
            "a_container_is_not_made_on_an_empty_volume",
        ],
    ),
    (
        90,
        "a container is made and does not start",
        &["a_container_that_does_not_start_is_removed_again"],
    ),
    (
        91,
        "a container publishes a port to everybody",
        &[
            "each_fault_of_a_container",
            "each_setting_that_a_person_can_change_is_seen",
            "debian_12_bears_trouble",
        ],
    ),
    (
        92,
        "a container has other ports, networks or mounts than asked for",
        &[
            "other_mounts_networks_users_and_commands_are_seen",
            "what_an_engine_cannot_do_is_no_change",
            "debian_12_bears_trouble",
        ],
    ),
    (
        93,
        "the image's tag moved",
        &[
            "a_tag_that_moved_changes_nothing_until_somebody_asks",
            "the_plan_shows_the_digest_and_a_newer_one_is_asked_for",
            "a_rollback_has_the_image_of_its_generation",
            "debian_12_runs_the_image_it_is_pinned_to",
        ],
    ),
    (
        94,
        "Docker restarts or is upgraded, or its owner prunes",
        &[
            "each_loss_is_seen_and_mended_without_a_generation",
            "a_container_is_not_made_on_an_empty_volume",
            "debian_12_keeps_its_containers",
            "debian_13_keeps_its_containers",
        ],
    ),
    (
        95,
        "a container dies again and again",
        &[
            "debian_12_bears_trouble",
            "a_crash_loop_is_known_by_its_deaths_and_over_when_steady",
            "a_crash_loop_is_said_once_until_it_is_over",
            "debian_13_keeps_its_containers",
        ],
    ),
    (
        96,
        "a secret in a container's environment or arguments",
        &[
            "no_secret_is_where_others_can_see_it",
            "debian_12_keeps_a_postgres",
        ],
    ),
    (
        97,
        "a major upgrade of a Postgres's data",
        &[
            "a_major_upgrade_of_a_postgres_is_refused_before_anything_is_touched",
            "a_volume_with_data_of_another_major_version_is_not_taken_at_all",
            "damage_of_a_postgres_is_told_from_data_of_another_version",
            "debian_12_keeps_a_postgres",
        ],
    ),
    (
        98,
        "a health check that passes on NOAUTH",
        &["redis_without_a_password_for_us_is_not_healthy"],
    ),
    (
        99,
        "an append-only file cut off or corrupt",
        &[
            "damage_is_told_from_another_crash",
            "debian_12_bears_trouble",
            "a_cut_off_file_of_redis_is_not_loaded_in_silence",
            "a_count_that_is_no_number_is_503_and_left_as_it_is",
        ],
    ),
    (
        100,
        "Redis full, the disk under it full",
        &[
            "debian_12_bears_trouble",
            "a_full_redis_is_not_healthy",
            "a_redis_that_cannot_save_is_503_until_it_can",
        ],
    ),
    (
        101,
        "a wrong or rotated password, LOADING, a restart",
        &[
            "redis_refuses_a_wrong_password_and_recovers_when_it_is_right",
            "a_wrong_redis_password_is_503_and_the_status_says_so",
            "a_restart_of_redis_loses_no_count",
            "while_redis_loads_its_data_it_is_said_so",
            "a_new_password_is_taken_beside_the_old_without_a_restart",
            "a_containers_password_is_rotated_without_a_restart_of_it",
            "a_rotation_of_a_password_ends_or_never_was",
            "debian_12_service_that_changes",
            "debian_12_service",
        ],
    ),
    (
        102,
        "no Redis at the start",
        &[
            "starts_without_redis_says_503_and_recovers_alone",
            "debian_12_service",
        ],
    ),
    (
        103,
        "a backup cut off, damaged, on a full disk, its key lost",
        &[
            "debian_12_backups_on_another_host",
            "debian_13_backups_are_refused_before_anything_is_touched",
            "an_incomplete_backup_is_not_kept",
            "a_store_that_refuses_is_not_an_empty_one",
            "a_mount_point_is_no_directory_to_be_saved",
            "a_repository_that_was_there_is_not_made_again",
            "a_drill_that_does_not_fit_is_not_begun",
            "a_drill_that_was_not_begun_is_noted",
            "an_exchange_ends_or_never_was",
        ],
    ),
    (
        104,
        "a backup with names or directories that lead elsewhere",
        &[
            "no_name_of_a_manifest_leads_out",
            "debian_13_backups_are_refused_before_anything_is_touched",
        ],
    ),
    (
        105,
        "a backup others can read, or its key beside it",
        &[
            "debian_12_backups_on_another_host",
            "each_mistake_has_its_place_and_help",
        ],
    ),
    (
        106,
        "alg none, confusion, jwk, jku, kid",
        &["forged_tokens_are_refused_quickly"],
    ),
    (
        107,
        "exp, nbf, iss, aud past, future, strings, missing",
        &[
            "forged_tokens_are_refused_quickly",
            "refusals_say_why_only_for_genuine_tokens",
        ],
    ),
    (
        108,
        "huge tokens, dots, bad base64, duplicate claims",
        &[
            "forged_tokens_are_refused_quickly",
            "duplicate_claims_are_refused",
        ],
    ),
    (
        109,
        "key rotation, weak keys",
        &[
            "an_old_key_is_forgotten_when_its_last_token_has_expired",
            "weak_keys_are_refused",
            "a_rotation_ends_or_never_was",
            "a_key_that_was_ended_never_comes_back",
            "a_full_ring_is_refused_until_a_key_has_expired",
            "debian_12_service",
        ],
    ),
    (
        110,
        "brute force, enumeration by time",
        &[
            "no_name_makes_it_another",
            "debian_13_logs_are_watched",
            "ten_thousand_wrong_logins",
            "a_flood_of_names_shuts_nobody_out",
            "a_flood_of_names_leaves_others_alone",
            "a_network_is_throttled_over_many_addresses_and_names",
            "an_unknown_name_costs_the_same",
            "unknown_names_cost_what_known_ones_do_in_equal_parts",
            "a_restart_does_not_reset_the_limit_of_an_account",
            "debian_12_service",
        ],
    ),
    (
        111,
        "the limiter's store is down",
        &["without_the_store_that_counts_attempts_nobody_logs_in"],
    ),
    (
        112,
        "panics, slow handlers, no descriptors left",
        &[
            "a_panic_is_a_500_that_tells_nothing",
            "a_slow_handler_is_given_up",
            "debian_12_service",
        ],
    ),
    (
        113,
        "a secret in argv, environment, log, plan, receipt",
        &[
            "no_secret_is_where_others_can_see_it",
            "no_secret_is_in_what_expansion_gives",
        ],
    ),
    (
        114,
        "a secret file others can read, or a link",
        &[
            "a_host_that_is_not_ready_is_refused_and_left_as_it_was",
            "accounts_follow_the_stack_both_ways",
        ],
    ),
    (
        115,
        "a link planted where a file is written",
        &[
            "a_planted_link_is_replaced_not_followed",
            "no_link_leads_out",
        ],
    ),
    (
        116,
        "an app's user owns its unit or site",
        &["debian_12_rows_of_an_installed_host"],
    ),
    (
        117,
        "umask 000 and 077",
        &["debian_13_rows_of_the_environment"],
    ),
    (
        118,
        "odd TZ, LANG, HOME, PATH",
        &[
            "debian_13_rows_of_the_environment",
            "the_callers_environment_stays_out",
        ],
    ),
    (
        119,
        "stack file: traversal, duplicate and unknown keys",
        &[
            "hostile_files_are_refused_without_panic",
            "every_fault_of_the_parser_comes_with_a_place_and_help",
        ],
    ),
    (
        120,
        "not root, an odd environment",
        &[
            "a_host_that_is_not_ready_is_refused_and_left_as_it_was",
            "debian_13_rows_of_the_environment",
        ],
    ),
    (
        121,
        "another distribution, half-configured dpkg, held packages",
        &[
            "a_host_that_is_not_ready_is_refused_and_left_as_it_was",
            "a_release_without_apt_or_too_old_is_named",
        ],
    ),
    (
        122,
        "a child process hangs",
        &[
            "a_hanging_program_is_ended",
            "a_host_that_is_not_ready_is_refused_and_left_as_it_was",
        ],
    ),
];

#[test]
fn every_row_is_there_once() {
    let rows: Vec<u32> = TABLE.iter().map(|(row, ..)| *row).collect();
    let wanted: Vec<u32> = (1..=122).collect();
    assert_eq!(rows, wanted);
}

#[test]
fn every_row_is_shown_by_tests_that_exist() {
    let known = tests();
    let missing: Vec<String> = TABLE
        .iter()
        .flat_map(|(row, fault, names)| {
            assert!(!names.is_empty(), "row {row} ({fault}) has no test");
            let once: BTreeSet<_> = names.iter().collect();
            assert_eq!(once.len(), names.len(), "row {row}: a test is there twice");
            let missing = names.iter().filter(|name| !known.contains(**name));
            missing.map(move |name| format!("row {row} ({fault}): no test {name}"))
        })
        .collect();
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

/// The names of all tests of the package.
fn tests() -> BTreeSet<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = BTreeSet::new();
    for folder in ["src", "tests"] {
        collect(&root.join(folder), &mut found);
    }
    found
}

fn collect(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).expect("a folder of the package") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("source");
            let mut is_test = false;
            for line in text.lines().map(str::trim) {
                if line == "#[test]" || line.starts_with("#[tokio::test") {
                    is_test = true;
                } else if let Some(rest) = line.split("fn ").nth(1).filter(|_| is_test) {
                    let name = rest.split('(').next().unwrap_or_default();
                    found.insert(name.to_owned());
                    is_test = false;
                }
            }
        }
    }
}
