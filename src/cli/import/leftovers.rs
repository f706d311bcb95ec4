//! Every parameter that main.cf or a service sets and nothing else here reads: why it has no equivalent.

use crate::postfix::Place;
use crate::postfix::expand::references;
use crate::postfix::main_cf::Setting;
use crate::postfix::parameters::{Parameters, is_known};

use super::report::Notes;
use super::site::Site;

/// Parameters that other files of this command read. A final `*` stands for any end.
const READ: &[&str] = &[
    "compatibility_level",
    "config_directory",
    "myhostname",
    "mydomain",
    "myorigin",
    "mydestination",
    "mynetworks",
    "inet_interfaces",
    "inet_protocols",
    "relay_domains",
    "relay_transport",
    "relayhost",
    "relay_recipient_maps",
    "transport_maps",
    "default_transport",
    "local_transport",
    "virtual_transport",
    "virtual_mailbox_domains",
    "virtual_mailbox_maps",
    "virtual_alias_domains",
    "local_recipient_maps",
    "parent_domain_matches_subdomains",
    "smtp_bind_address*",
    "smtp_helo_name",
    "smtp_use_tls",
    "smtp_enforce_tls",
    "smtp_tls_enforce_peername",
    "smtp_dns_support_level",
    "smtp_tls_security_level",
    "smtp_tls_policy_maps",
    "smtp_tls_per_site",
    "smtp_tls_protocols",
    "smtp_tls_mandatory_*",
    "smtp_tls_ciphers",
    "smtp_tls_exclude_ciphers",
    "smtp_tls_verify_cert_match",
    "smtp_tls_secure_cert_match",
    "smtp_tls_fingerprint_*",
    "smtp_tls_CAfile",
    "smtp_tls_CApath",
    "smtp_tls_trust_anchor_file",
    "smtp_tls_servername",
    "smtp_tls_wrappermode",
    "smtp_tls_chain_files",
    "smtp_tls_cert_file",
    "smtp_tls_key_file",
    "smtp_tls_eccert_file",
    "smtp_tls_eckey_file",
    "tls_append_default_CA",
    "smtpd_use_tls",
    "smtpd_enforce_tls",
    "smtpd_tls_security_level",
    "smtpd_tls_wrappermode",
    "smtpd_tls_protocols",
    "smtpd_tls_mandatory_*",
    "smtpd_tls_ciphers",
    "smtpd_tls_exclude_ciphers",
    "smtpd_tls_ask_ccert",
    "smtpd_tls_req_ccert",
    "smtpd_tls_CAfile",
    "smtpd_tls_chain_files",
    "smtpd_tls_cert_file",
    "smtpd_tls_key_file",
    "smtpd_tls_eccert_file",
    "smtpd_tls_eckey_file",
    "message_size_limit",
    "maximal_queue_lifetime",
    "bounce_queue_lifetime",
    "delay_warning_time",
    "minimal_backoff_time",
    "maximal_backoff_time",
    "soft_bounce",
    "default_destination_concurrency_limit",
    "default_destination_rate_delay",
    "initial_destination_concurrency",
    "smtpd_client_connection_count_limit",
    "smtpd_recipient_limit",
    "smtpd_hard_error_limit",
    "hopcount_limit",
];

/// What no equivalent is, and why: names, the reason, and what to do instead. The first that fits holds.
const CLASSES: &[(&[&str], &str, &str)] = &[
    (
        &["smtp_sasl_*", "smtp_sender_dependent_authentication"],
        "Gatepost does not log in at next hops (AUTH)",
        "let the next hop know this relay by its address or by client_certificate in [route]",
    ),
    (
        &["smtpd_sasl_*", "broken_sasl_auth_clients", "smtpd_tls_auth_only", "cyrus_sasl_*", "smtpd_sender_login_maps"],
        "clients log in with a password (SASL), which Gatepost does not know",
        "leave submission to Postfix, with relayhost = this relay; or use role = \"submission\" with certificates",
    ),
    (
        &["content_filter", "*milter*", "smtpd_proxy_*", "receive_override_options", "default_filter_nexthop"],
        "there are no filters in Gatepost",
        "filter before it, behind it, or on the mailbox server",
    ),
    (
        &["*header_checks", "*body_checks", "*body_checks_size_limit", "message_drop_headers"],
        "content is not looked at, nor changed",
        "filter on the mailbox server",
    ),
    (
        &[
            "virtual_alias_*",
            "virtual_maps",
            "alias_*",
            "*canonical_*",
            "canonical_*",
            "masquerade_*",
            "*generic_maps",
            "relocated_maps",
            "recipient_bcc_maps",
            "sender_bcc_maps",
            "always_bcc",
            "append_*",
            "remote_header_rewrite_domain",
            "local_header_rewrite_clients",
            "swap_bangpath",
            "allow_percent_hack",
            "rewrite_service_name",
            "empty_address_*",
            "expand_owner_alias",
            "default_database_type",
            "smtp_generic_maps",
            "allow_mail_to_*",
            "owner_request_special",
        ],
        "addresses are not rewritten, and there are no aliases",
        "rewrite them on the mailbox server, or before the mail comes here",
    ),
    (
        &["postscreen_*", "dnsblog_*", "maps_rbl_*", "rbl_reply_maps", "default_rbl_reply"],
        "there are no block lists (DNSBL) and no postscreen",
        "filter in front of it, or on the mailbox server",
    ),
    (
        &[
            "smtpd_*_restrictions",
            "smtpd_restriction_classes",
            "check_*",
            "smtpd_reject_*",
            "reject_*",
            "smtpd_helo_required",
            "smtpd_delay_*",
            "smtpd_sender_*",
            "strict_*",
            "disable_vrfy_command",
            "smtpd_data_*",
            "smtpd_client_*",
            "smtpd_etrn_*",
            "smtpd_forbid_*",
            "smtpd_discard_*",
            "unknown_*",
            "unverified_*",
            "address_verify_*",
            "permit_mx_backup_networks",
            "policy*",
            "smtpd_policy_*",
            "smtpd_command_filter",
            "smtpd_noop_commands",
            "anvil_*",
            "spf*",
            "*policyd*",
            "smtpd_relay_before_*",
            "invalid_hostname_reject_code",
            "non_fqdn_reject_code",
            "access_map_*",
            "plaintext_reject_code",
            "show_user_unknown_table_name",
            "smtpd_authorized_*",
            "smtpd_null_access_lookup_key",
            "smtpd_peername_lookup",
        ],
        "there are no access restrictions but [relay] trusted, recipients and the TLS policies",
        "see what they are for; block clients in front of it, or on the mailbox server",
    ),
    (
        &[
            "local_*",
            "virtual_*",
            "mailbox_*",
            "home_mailbox",
            "mail_spool_directory",
            "luser_relay",
            "forward_*",
            "recipient_delimiter",
            "propagate_unmatched_extensions",
            "fallback_transport*",
            "biff",
            "default_privs",
            "dovecot_*",
            "lmtp_*",
            "pipe_*",
            "command_*",
            "shlib_*",
            "execution_directory_*",
            "prepend_delivered_header",
            "export_environment",
            "import_environment",
            "newaliases_path",
            "require_home_directory",
            "allow_min_user",
            "enable_original_recipient",
            "spamassassin_*",
            "maildrop_*",
            "cyrus_*",
        ],
        "Gatepost has no mailboxes: nothing is delivered on this machine",
        "the mailbox server does that, behind [route]",
    ),
    (
        &[
            "sender_dependent_*",
            "smtp_fallback_relay",
            "fallback_relay",
            "best_mx_transport",
            "authorized_*",
            "default_transport_maps",
            "smtp_destination_recipient_limit",
            "smtp_skip_*",
            "ignore_mx_lookup_error",
            "smtp_mx_*",
            "smtp_address_preference",
            "smtp_host_lookup",
            "smtp_randomize_*",
            "smtp_balance_inet_protocols",
            "disable_dns_lookups",
            "smtp_cname_overrides_servername",
            "relay_clientcerts",
            "smtp_dns_*",
            "smtp_reply_filter",
            "smtp_pix_*",
            "smtp_tcp_port",
            "smtp_discard_ehlo_*",
            "smtp_quote_rfc821_envelope",
            "smtp_send_xforward_command",
            "smtp_always_send_ehlo",
            "smtp_never_send_ehlo",
            "default_delivery_status_filter",
            "smtp_delivery_status_filter",
        ],
        "next hops depend on the recipient's domain alone, and are tried as RFC 5321 says",
        "write a [route], and on_tls_failure = \"route:...\" for another way",
    ),
    (&["tls_server_sni_maps"], "certificates are chosen by the names in them", "add a [[certificate]] for each name"),
    (
        &["smtp_tls_*", "smtpd_tls_*", "tls_*", "tlsproxy_*"],
        "TLS sessions are set up in one way for all (docs/TLS.md), and each is recorded in the audit log",
        "",
    ),
    (
        &[
            "smtpd_banner",
            "mail_name",
            "mail_version",
            "smtpd_timeout",
            "smtp_*_timeout",
            "smtpd_*_limit",
            "smtpd_*_sleep_time",
            "smtpd_*_timeout",
            "smtpd_*_rate*",
            "smtp_*_limit*",
            "*_extra_recipient_limit",
            "smtpd_starttls_timeout",
            "smtp_connection_*",
            "smtpd_recipient_overshoot_limit",
            "line_length_limit",
            "header_*_limit",
            "smtputf8_*",
            "smtp_line_length_limit",
            "*_destination_recipient_limit",
            "*_rate_delay",
            "in_flow_delay",
            "qmgr_*",
            "queue_run_delay",
            "queue_minfree",
            "mime_*",
            "disable_mime_*",
            "default_process_limit",
            "default_*_limit",
            "default_*_slot*",
            "default_minimum_*",
            "*_delivery_slot_*",
            "smtpd_per_record_deadline",
            "smtp_per_record_deadline",
            "*_transport_rate_delay",
            "max_idle",
            "max_use",
            "*_concurrency_*feedback",
            "*_failed_cohort_limit",
            "*_concurrency_limit",
            "*_initial_destination_concurrency",
            "*_recipient_refill_*",
            "*_minimum_delivery_slots",
            "*_recipient_limit",
            "ipc_*",
            "smtp_defer_if_no_mx_*",
            "daemon_*",
            "transport_*",
            "service_*",
            "helpful_warnings",
            "detect_8bit_*",
            "smtpd_upstream_proxy_*",
        ],
        "bounds, texts and times of Postfix's own",
        "see [limits] and [spool] for those of Gatepost",
    ),
    (
        &[
            "notify_classes",
            "*_notice_recipient",
            "bounce_*",
            "double_bounce_sender",
            "backwards_bounce_*",
            "delay_logging_*",
            "debug_*",
            "debugger_command",
            "syslog_*",
            "maillog_*",
            "enable_long_queue_ids",
            "info_log_*",
            "trace_service_name",
            "undisclosed_*",
            "confirm_delay_cleared",
            "2bounce_*",
        ],
        "logs, notices and their texts are Gatepost's own",
        "see the audit log and [alert]",
    ),
    (
        &[
            "*_directory",
            "*_path",
            "mail_owner",
            "setgid_group",
            "alternate_config_directories",
            "manpage_*",
            "multi_instance_*",
            "meta_directory",
            "sample_*",
            "html_*",
            "readme_*",
            "data_*",
            "authorized_*_users",
            "smtpd_soft_error_limit",
            "process_*",
            "proxy_*",
            "proxymap_*",
            "openssl_path",
            "known_tcp_ports",
            "fast_flush_*",
            "hash_queue_*",
            "hash_queue_names",
            "mailbox_command_maps",
            "lock_*",
            "stale_lock_time",
            "deliver_lock_*",
            "fork_*",
            "application_event_drain_time",
            "berkeley_db_*",
            "lmdb_*",
            "connection_cache_*",
            "stress",
            "non_smtpd_milters",
            "internal_mail_filter_classes",
            "unix*",
            "extract_recipient_limit",
            "relocated_*",
            "show_*",
            "myorigin",
            "mynetworks_style",
            "proxy_interfaces",
            "resolve_*",
            "send_cyrus_*",
        ],
        "it is about the installation and the inner life of Postfix",
        "",
    ),
];

/// Tells of all that is set and not read.
pub(super) fn tell(site: &Site, notes: &mut Notes) {
    let main = &site.main;
    let mut mentioned = main.mentioned();
    for service in &site.services {
        mentioned.extend(service.overrides.iter().flat_map(|setting| references(&setting.value)));
    }
    for setting in main.settings() {
        let is_macro = !is_known(&setting.name) && mentioned.contains(&setting.name);
        if !main.is_default(&setting.name) && !is_macro {
            tell_of(main, setting, notes);
        }
    }
    for service in &site.services {
        let parameters = main.of_service(&service.overrides);
        for setting in &service.overrides {
            tell_of_service(&parameters, setting, (&service.name, &service.place), notes);
        }
    }
}

fn tell_of(main: &Parameters, setting: &Setting, notes: &mut Notes) {
    if is_read(&setting.name) {
        return;
    }
    let (because, remedy) = class(&setting.name);
    notes.missing((shown(&setting.name, &main.text(&setting.name)), &setting.place), because, remedy);
}

fn tell_of_service(parameters: &Parameters, setting: &Setting, (service, place): (&str, &Place), notes: &mut Notes) {
    if is_read(&setting.name) || parameters.text(&setting.name).is_empty() {
        return;
    }
    let (because, remedy) = class(&setting.name);
    let what = format!("{service}: -o {}", shown(&setting.name, &parameters.text(&setting.name)));
    notes.missing((what, place), because, remedy);
}

/// Where mail of a transport is bounded by a key of its domain file.
fn is_read(name: &str) -> bool {
    let is_pace = name.ends_with("_destination_concurrency_limit") || name.ends_with("_destination_rate_delay");
    (is_pace && !name.starts_with("local_") && !name.starts_with("virtual_")) || fits(READ, name)
}

fn class(name: &str) -> (&'static str, &'static str) {
    let found = CLASSES.iter().find(|(names, ..)| fits(names, name));
    found.map_or_else(|| of_unknown(name), |(_, because, remedy)| (*because, *remedy))
}

fn of_unknown(name: &str) -> (&'static str, &'static str) {
    match is_known(name) {
        true => ("it is not read", "see postconf(5) for what it is for"),
        false => ("it is no parameter of Postfix 3.7, and nothing mentions it", "see what it was meant for"),
    }
}

fn fits(patterns: &[&str], name: &str) -> bool {
    patterns.iter().any(|pattern| match pattern.split_once('*') {
        None => *pattern == name,
        Some((start, end)) => match end.split_once('*') {
            None => name.len() >= start.len() + end.len() && name.starts_with(start) && name.ends_with(end),
            // `*middle*`
            Some((middle, _)) => name.contains(middle),
        },
    })
}

/// The name and the value, the value cut to what a line takes.
fn shown(name: &str, value: &str) -> String {
    const VALUE_CHARS_MAX: usize = 120;
    let value = value.split_whitespace().collect::<Vec<_>>().join(" ");
    match value.chars().count() > VALUE_CHARS_MAX {
        true => format!("{name} = {}…", value.chars().take(VALUE_CHARS_MAX - 1).collect::<String>()),
        false => format!("{name} = {value}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn well_known_parameters_are_in_their_class() {
        for (name, because) in [
            ("smtp_sasl_password_maps", "log in at next hops"),
            ("smtpd_sasl_type", "with a password"),
            ("smtpd_milters", "no filters"),
            ("content_filter", "no filters"),
            ("header_checks", "content is not looked at"),
            ("virtual_alias_maps", "not rewritten"),
            ("smtp_generic_maps", "not rewritten"),
            ("sender_canonical_maps", "not rewritten"),
            ("postscreen_dnsbl_sites", "block lists"),
            ("smtpd_recipient_restrictions", "access restrictions"),
            ("smtpd_helo_required", "access restrictions"),
            ("mailbox_size_limit", "no mailboxes"),
            ("virtual_mailbox_base", "no mailboxes"),
            ("sender_dependent_relayhost_maps", "recipient's domain alone"),
            ("smtp_tls_session_cache_database", "TLS sessions"),
            ("smtpd_banner", "of Postfix's own"),
            ("queue_directory", "the installation"),
            ("my_own_macro", "no parameter of Postfix"),
        ] {
            let (found, _) = class(name);
            assert!(found.contains(because), "{name}: {found}");
        }
        for name in ["relayhost", "smtp_tls_mandatory_ciphers", "slow_destination_rate_delay"] {
            assert!(is_read(name), "{name}");
        }
        assert!(!is_read("local_destination_concurrency_limit"));
    }

    #[test]
    fn each_parameter_of_postfix_is_read_or_in_a_class_but_for_a_few() {
        let names = include_str!("../../postfix/defaults.txt").lines().filter(|line| !line.starts_with('#'));
        let names = names.filter_map(|line| line.split_once('=')).map(|(name, _)| name.trim());
        let unread: Vec<_> = names.filter(|name| !is_read(name) && class(name) == of_unknown(name)).collect();
        assert!(unread.len() <= 60, "{} without a class: {unread:?}", unread.len());
    }
}
