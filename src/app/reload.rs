//! Reload: the whole configuration swaps at once, or the old one stays and says why.

use std::path::Path;
use std::sync::Arc;

use crate::admin::protocol::{ReportedDiagnostic, Response};
use crate::audit::event::{Event, Record};
use crate::clock;
use crate::config::{self, Config};
use crate::outbound::steering::Command;
use crate::random;

use super::build::{Built, alert_ways, build, fetcher, fill_metrics, learn_terms};
use super::running::Running;
use super::{calendar, certificates};

/// Reads the files again and swaps what they say in.
pub(super) async fn reload(running: &Running) -> Response {
    match prepare(running).await {
        Ok((config, built, warnings)) => {
            let digest = config.digest.clone();
            swap(running, config, built).await;
            for warning in &warnings {
                tracing::warn!("{}", warning.line);
            }
            tracing::info!(config = %digest, "configuration reloaded");
            Response::Reloaded { config: digest, warnings }
        }
        Err(errors) => {
            running.metrics.config_last_reload_successful.set(0);
            for error in &errors {
                tracing::error!("{}", error.line);
            }
            tracing::error!("configuration not reloaded: the old one stays in force");
            Response::NotReloaded { errors }
        }
    }
}

type Prepared = (Config, Built, Vec<ReportedDiagnostic>);

async fn prepare(running: &Running) -> Result<Prepared, Vec<ReportedDiagnostic>> {
    let file = running.config.load().file.clone();
    let loaded = tokio::task::spawn_blocking(move || {
        let report = |list: Vec<config::diagnostic::Diagnostic>| list.iter().map(ReportedDiagnostic::of).collect();
        let (config, warnings) = config::load(&file).map_err(report)?;
        let built = build(&config).map_err(|error| vec![ReportedDiagnostic::plain(&error.to_string())])?;
        Ok((config, built, report(warnings)))
    });
    let (config, built, warnings) =
        loaded.await.unwrap_or_else(|error| Err(vec![ReportedDiagnostic::plain(&error.to_string())]))?;
    let fixed = needs_restart(&running.config.load(), &config);
    if fixed.is_empty() { Ok((config, built, warnings)) } else { Err(fixed) }
}

async fn swap(running: &Running, config: Config, built: Built) {
    fill_metrics(&running.metrics, &config);
    certificates::put_in_force(running, built.certificates);
    running.door.store(Arc::new(built.door));
    let stamp = built.inbound.stamp.clone();
    running.feed.set_stamp(stamp.clone());
    running.inbound.snapshot.store(Arc::new(built.inbound));
    running.outbound.snapshot.store(Arc::new(built.outbound));
    running.evidence.configure(&config.audit);
    running.outbound.facts.learned.configure(learn_terms(&config));
    running.outbound.alerts.configure(alert_ways(&config));
    set_fetcher(running, &config);
    running.config.store(Arc::new(config));
    running.metrics.config_last_reload_successful.set(1);
    let time = clock::timestamp();
    let mut record = Record::new(&stamp, time, random::record_id(time), Event::ConfigLoaded);
    record.detail = Some(calendar::told_with_suspension("reloaded", &running.inbound.snapshot.load().policies, time));
    if let Err(fault) = running.outbound.spool.record(None, Vec::new(), vec![record.entry()]).await {
        tracing::error!(%fault, "the reload could not be recorded");
    }
    // The dispatcher lives as long as the daemon; while it drains, nothing needs to be planned anew.
    _ = running.commands.send(Command::Replan).await;
}

/// Policies of MTA-STS are fetched under what holds now.
fn set_fetcher(running: &Running, config: &Config) {
    let outbound = &running.outbound;
    match fetcher(config, outbound.resolver.clone(), &outbound.roots) {
        Ok(fetcher) => outbound.facts.sts.set_fetcher(fetcher),
        Err(error) => tracing::error!(%error, "MTA-STS policies are fetched as before the reload"),
    }
}

/// Keys that are fixed while the daemon runs: sockets, folders, accounts and what was sized by them.
fn needs_restart(old: &Config, new: &Config) -> Vec<ReportedDiagnostic> {
    let sockets = |config: &Config| {
        let listeners = config.listeners.iter().map(|listener| (listener.name.clone(), listener.bind.clone()));
        listeners.collect::<Vec<_>>()
    };
    let folder = |config: &Config| config.audit.checkpoint_file.as_deref().and_then(Path::parent).map(Path::to_owned);
    let program = |config: &Config| config.alert.command.as_ref().and_then(|words| words.first().cloned());
    let changed = [
        ("[[listener]] name or bind", sockets(old) != sockets(new)),
        ("[spool].path", old.spool.path != new.spool.path),
        ("[spool].min_free_space", old.spool.min_free_space != new.spool.min_free_space),
        ("[audit].path", old.audit.path != new.audit.path),
        ("[audit].key", old.audit.key != new.audit.key),
        ("[audit].checkpoint_every", old.audit.checkpoint_every != new.audit.checkpoint_every),
        // The sandbox has room for those of the start.
        ("the folder of [audit].checkpoint_file", folder(old) != folder(new) && folder(new).is_some()),
        ("the program of [alert].command", program(old) != program(new) && program(new).is_some()),
        ("[metrics].bind", old.metrics.bind != new.metrics.bind),
        ("[admin].bind", old.admin.bind != new.admin.bind),
        ("[admin].socket", old.admin.socket != new.admin.socket),
        ("[dns].servers", old.dns.servers != new.dns.servers),
        ("[dns].dnssec or trust_anchor", old.dns.dnssec != new.dns.dnssec),
        ("user or group", (&old.user, &old.group) != (&new.user, &new.group)),
        ("[limits].max_connections", old.limits.max_connections != new.limits.max_connections),
        ("[limits].max_body_memory", old.limits.max_body_memory != new.limits.max_body_memory),
    ];
    let refused = changed.into_iter().filter(|(_, changed)| *changed);
    refused
        .map(|(key, _)| ReportedDiagnostic::plain(&format!("{key} has changed: it takes effect at a restart only")))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;

    use super::*;
    use crate::config::keys::{Effect, sections};

    /// What is written at first, and what a reload refuses instead. A listener has all of its line.
    const CHANGES: &[(&str, &str, &str)] = &[
        ("user", "user = \"a\"", "user = \"b\""),
        ("group", "group = \"a\"", "group = \"b\""),
        ("spool.path", "spool.path = \"s\"", "spool.path = \"t\""),
        ("spool.min_free_space", "spool.min_free_space = \"1MB\"", "spool.min_free_space = \"2MB\""),
        (
            "listener.name",
            LISTENER,
            "listener = [{ name = \"b\", bind = [\"[::1]:25\"], role = \"mx\", tls = \"off\" }]",
        ),
        (
            "listener.bind",
            LISTENER,
            "listener = [{ name = \"a\", bind = [\"[::1]:26\"], role = \"mx\", tls = \"off\" }]",
        ),
        ("dns.servers", "dns.servers = [\"127.0.0.1\"]", "dns.servers = [\"127.0.0.2\"]"),
        ("dns.dnssec", VALIDATE, "dns.dnssec = \"off\""),
        ("dns.trust_anchor", VALIDATE, "dns.dnssec = \"validate\"\ndns.trust_anchor = \"root.key\""),
        ("audit.path", "audit.path = \"a\"", "audit.path = \"b\""),
        ("audit.key", "audit.key = \"k/a\"", "audit.key = \"k/b\""),
        ("audit.checkpoint_every", "audit.checkpoint_every = \"1m\"", "audit.checkpoint_every = \"2m\""),
        ("metrics.bind", "metrics.bind = \"off\"", "metrics.bind = \"127.0.0.1:1\""),
        ("admin.bind", "admin.bind = \"off\"", "admin.bind = \"127.0.0.1:2\""),
        ("admin.socket", "admin.socket = \"c/a\"", "admin.socket = \"c/b\""),
        ("limits.max_connections", "limits.max_connections = 1", "limits.max_connections = 2"),
        ("limits.max_body_memory", "limits.max_body_memory = \"1MB\"", "limits.max_body_memory = \"2MB\""),
    ];
    const LISTENER: &str = "listener = [{ name = \"a\", bind = [\"[::1]:25\"], role = \"mx\", tls = \"off\" }]";
    const VALIDATE: &str = "dns.dnssec = \"validate\"";
    /// Of these keys a part alone is fixed.
    const IN_PART: [(&str, &str); 2] = [
        ("audit.checkpoint_file = \"x/a\"", "audit.checkpoint_file = \"y/a\""),
        ("alert.command = [\"/bin/a\"]", "alert.command = [\"/bin/b\"]"),
    ];

    fn load(folder: &Path, lines: impl Iterator<Item = &'static str>) -> Config {
        let mut lines: Vec<&str> = lines.collect();
        lines.dedup();
        let text = format!("hostname = \"mx.example.org\"\n{}\n", lines.join("\n"));
        let file = folder.join("gatepost.toml");
        fs::write(&file, text).unwrap();
        config::load(&file).unwrap_or_else(|findings| panic!("{findings:?}")).0
    }

    #[test]
    fn a_reload_refuses_each_key_of_which_the_reference_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let all = || CHANGES.iter().map(|(_, old, new)| (*old, *new)).chain(IN_PART);
        let old = load(folder.path(), all().map(|(old, _)| old));
        let refused = |new: &Config| needs_restart(&old, new).into_iter().map(|told| told.line).collect::<Vec<_>>();
        assert_eq!(refused(&old), Vec::<String>::new());
        let mut seen = BTreeSet::new();
        for (before, changed) in all() {
            let new = load(folder.path(), all().map(|(old, _)| if old == before { changed } else { old }));
            let told = refused(&new);
            assert_eq!(told.len(), 1, "{changed}: {told:?}");
            seen.extend(told);
        }
        // Of several changes of a line the last.
        let last = |line| all().rfind(|(old, _)| *old == line).map_or(line, |(_, new)| new);
        let everything = load(folder.path(), all().map(|(old, _)| last(old)));
        assert_eq!(seen, refused(&everything).into_iter().collect(), "each line of `needs_restart` is about some key");
        let known = sections().flat_map(|section| {
            let fixed = section.keys().filter(|key| key.effect == Effect::Restart);
            fixed.flat_map(|key| section.places.iter().map(|place| format!("{}.{}", place.table, key.name)))
        });
        let known: Vec<String> = known.map(|path| path.trim_start_matches('.').to_owned()).collect();
        let mut changes: Vec<&str> = CHANGES.iter().map(|(path, ..)| *path).collect();
        let mut known: Vec<&str> = known.iter().map(String::as_str).collect();
        changes.sort_unstable();
        known.sort_unstable();
        assert_eq!(known, changes);
    }
}
