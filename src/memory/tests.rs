//! The memory as its users have it: bounds, restarts, kills, damage and a disk that fails.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use tempfile::TempDir;

use super::*;

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn entries(memory: &Memory, table: Table) -> Vec<(String, String)> {
    let text = |(key, value): Entry| (key, String::from_utf8(value.to_vec()).unwrap());
    memory.entries(table).map(text).collect()
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
}

fn put(memory: &Memory, table: Table, key: &str, value: &str) {
    memory.put(table, key, value.as_bytes()).unwrap();
}

/// What a start would find if the process were killed now.
fn killed(memory_folder: &Path) -> TempDir {
    let copy = folder();
    fs::copy(memory_folder.join(FILE_NAME), copy.path().join(FILE_NAME)).unwrap();
    copy
}

#[test]
fn what_was_put_is_read_at_once_and_after_a_restart() {
    let folder = folder();
    for round in ["1", "2"] {
        let memory = Memory::open(folder.path()).unwrap();
        let expected = if round == "1" { &[][..] } else { &[("a", "1"), ("c", "1")] };
        assert_eq!(entries(&memory, Table::Sts), pairs(expected));
        for key in ["a", "b", "c"] {
            put(&memory, Table::Sts, key, round);
        }
        memory.remove(Table::Sts, "b");
        memory.remove(Table::Sts, "never");
        assert_eq!(entries(&memory, Table::Sts), pairs(&[("a", round), ("c", round)]));
        assert_eq!(memory.get(Table::Sts, "b"), None);
        assert!(memory.is_empty(Table::Learned));
        // Of two clones only the last ends it.
        drop(memory.clone());
        assert_eq!(memory.get(Table::Sts, "a").as_deref(), Some(round.as_bytes()));
    }
    let mode = fs::metadata(folder.path().join(FILE_NAME)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn what_is_flushed_survives_a_kill() {
    let folder = folder();
    let memory = Memory::open(folder.path()).unwrap();
    for round in 0..5 {
        put(&memory, Table::TlsRpt, "same", &round.to_string());
        put(&memory, Table::Learned, &round.to_string(), "x");
        assert_eq!(memory.flush(), Ok(()));
        let copy = killed(folder.path());
        let after = Memory::open(copy.path()).unwrap();
        assert_eq!(entries(&after, Table::TlsRpt), pairs(&[("same", &round.to_string())]));
        assert_eq!(after.len(Table::Learned), round + 1);
    }
}

#[test]
fn changes_are_written_soon_without_being_asked_for() {
    let folder = folder();
    let memory = Memory::open(folder.path()).unwrap();
    put(&memory, Table::Alerts, "a", "1");
    let shared = &memory.0.shared;
    assert!(shared.succeeded_within(Duration::from_secs(30)));
    let copy = killed(folder.path());
    assert_eq!(entries(&Memory::open(copy.path()).unwrap(), Table::Alerts), pairs(&[("a", "1")]));
}

#[test]
fn a_second_process_is_told_that_the_file_is_in_use() {
    let folder = folder();
    let memory = Memory::open(folder.path()).unwrap();
    let in_use = MemoryError::InUse { path: folder.path().join(FILE_NAME) };
    assert_eq!(Memory::open(folder.path()).unwrap_err(), in_use);
    assert_eq!(Memory::open_within(folder.path(), Duration::ZERO).unwrap_err(), in_use);
    put(&memory, Table::Sts, "a", "1");
    let ends = std::thread::spawn(move || drop(memory));
    let after = Memory::open_within(folder.path(), Duration::from_secs(60)).unwrap();
    assert_eq!(entries(&after, Table::Sts), pairs(&[("a", "1")]));
    ends.join().unwrap();
}

#[test]
fn a_command_reads_beside_the_daemon_and_neither_makes_nor_locks_nor_moves_nor_writes_anything() {
    let empty = folder();
    assert!(Memory::peek(empty.path()).unwrap().is_none());
    assert_eq!(fs::read_dir(empty.path()).unwrap().count(), 0);

    let folder = folder();
    let path = folder.path().join(FILE_NAME);
    let memory = Memory::open(folder.path()).unwrap();
    put(&memory, Table::Sts, "a", "1");
    memory.flush().unwrap();
    let command = Memory::peek(folder.path()).unwrap().unwrap();
    assert_eq!(entries(&command, Table::Sts), pairs(&[("a", "1")]));
    drop(memory);
    let daemon = Memory::open(folder.path()).unwrap();
    let before = fs::read(&path).unwrap();
    put(&command, Table::Sts, "a", "2");
    assert_eq!(command.flush(), Ok(()));
    drop(command);
    assert_eq!(fs::read(&path).unwrap(), before);
    drop(daemon);

    fs::write(&path, b"no database at all").unwrap();
    assert!(matches!(Memory::peek(folder.path()), Err(MemoryError::Damaged { .. })));
    assert_eq!(fs::read(&path).unwrap(), b"no database at all");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_damaged_file_is_set_aside_and_never_stops_a_start() {
    let whole = folder();
    let memory = Memory::open(whole.path()).unwrap();
    for n in 0..200 {
        put(&memory, Table::Sts, &format!("key{n}"), &"value".repeat(100));
    }
    drop(memory);
    let content = fs::read(whole.path().join(FILE_NAME)).unwrap();
    let flipped = |at: usize| {
        let mut content = content.clone();
        content[at..at + 64].iter_mut().for_each(|b| *b ^= 0x5a);
        content
    };
    let value = content.windows(5).position(|window| window == b"value").unwrap();
    let damaged = [
        b"no database at all, but a text of some length".to_vec(),
        content[..content.len() / 2].to_vec(),
        content[..100].to_vec(),
        vec![0; content.len()],
        flipped(0),
        flipped(64),
        flipped(value),
    ];
    for content in damaged {
        let folder = folder();
        fs::write(folder.path().join(FILE_NAME), &content).unwrap();
        let memory = Memory::open(folder.path()).unwrap();
        assert!(memory.is_empty(Table::Sts));
        assert_eq!(fs::read(folder.path().join(DAMAGED_NAME)).unwrap().len(), content.len());
        put(&memory, Table::Sts, "a", "1");
        drop(memory);
        assert_eq!(entries(&Memory::open(folder.path()).unwrap(), Table::Sts), pairs(&[("a", "1")]));
    }
}

#[test]
fn a_bit_that_flips_anywhere_stops_no_start_and_gives_no_false_value() {
    let whole = folder();
    let memory = Memory::open(whole.path()).unwrap();
    put(&memory, Table::Learned, "key", "value");
    drop(memory);
    let content = fs::read(whole.path().join(FILE_NAME)).unwrap();
    // Its head byte by byte, the rest in steps that meet every page.
    for at in (0..320).step_by(7).chain((320..content.len()).step_by(4099)) {
        let folder = folder();
        let mut content = content.clone();
        content[at] ^= 0x10;
        fs::write(folder.path().join(FILE_NAME), &content).unwrap();
        let memory = Memory::open(folder.path()).unwrap();
        let found = entries(&memory, Table::Learned);
        assert!(found.is_empty() || found == pairs(&[("key", "value")]), "{at}: {found:?}");
    }
}

#[test]
fn a_file_that_vanishes_or_breaks_under_way_is_written_anew() {
    let folder = folder();
    let memory = Memory::open(folder.path()).unwrap();
    put(&memory, Table::Sts, "before", "1");
    memory.flush().unwrap();
    memory.0.shared.change(tables::Tables::file_is_lost);
    put(&memory, Table::Sts, "after", "2");
    memory.flush().unwrap();
    let copy = killed(folder.path());
    assert_eq!(entries(&Memory::open(copy.path()).unwrap(), Table::Sts), pairs(&[("after", "2"), ("before", "1")]));
}

#[test]
fn entries_come_in_order_and_page_by_page() {
    let memory = Memory::ephemeral();
    let count = SCAN_ENTRIES_MAX * 2 + 1;
    for n in (0..count).rev() {
        put(&memory, Table::Learned, &format!("{n:05}"), "x");
    }
    put(&memory, Table::Sts, "other", "x");
    let keys: Vec<String> = memory.entries(Table::Learned).map(|(key, _)| key).collect();
    assert_eq!(keys, (0..count).map(|n| format!("{n:05}")).collect::<Vec<_>>());
    let page: Vec<String> = memory.scan(Table::Learned, "00007", 2).into_iter().map(|(key, _)| key).collect();
    assert_eq!(page, ["00007", "00008"]);
    assert_eq!(memory.scan(Table::Learned, "", usize::MAX).len(), SCAN_ENTRIES_MAX);
    assert_eq!(memory.flush(), Ok(()));
}

#[test]
fn keys_values_and_tables_are_bounded() {
    let memory = Memory::ephemeral();
    let value = vec![b'x'; VALUE_BYTES_MAX];
    for (key, length, expected) in [
        (String::new(), 1, Err(Refused::Key)),
        ("k".repeat(tables::KEY_BYTES_MAX), 1, Ok(())),
        ("k".repeat(tables::KEY_BYTES_MAX + 1), 1, Err(Refused::Key)),
        ("a".into(), VALUE_BYTES_MAX, Ok(())),
        ("a".into(), VALUE_BYTES_MAX + 1, Err(Refused::Value)),
        ("empty".into(), 0, Ok(())),
    ] {
        let value: Vec<u8> = vec![b'x'; length];
        assert_eq!(memory.put(Table::Alerts, &key, value), expected);
    }
    let room = Table::Alerts.bytes_max() / VALUE_BYTES_MAX;
    let results: Vec<_> = (0..=room).map(|n| memory.put(Table::Alerts, &format!("{n:03}"), &value[..])).collect();
    assert_eq!(results.last(), Some(&Err(Refused::Full)));
    // Others, smaller values of the same key, and what is removed are none of the full table's.
    assert_eq!(memory.put(Table::Sts, "a", &value[..]), Ok(()));
    assert_eq!(memory.put(Table::Alerts, "000", &value[..9]), Ok(()));
    memory.remove(Table::Alerts, "001");
    assert_eq!(memory.put(Table::Alerts, "new", &value[..9]), Ok(()));

    for n in 0..Table::Sts.entries_max() - 1 {
        put(&memory, Table::Sts, &n.to_string(), "");
    }
    assert_eq!(memory.put(Table::Sts, "one more", &b""[..]), Err(Refused::Full));
    assert_eq!(memory.put(Table::Sts, "0", &b"new"[..]), Ok(()));
}

#[test]
fn more_changes_than_are_counted_are_written_all_the_same() {
    let folder = folder();
    let memory = Memory::open(folder.path()).unwrap();
    put(&memory, Table::Alerts, "old", "1");
    memory.flush().unwrap();
    memory.remove(Table::Alerts, "old");
    for n in 0..=tables::CHANGED_KEYS_MAX {
        put(&memory, Table::Learned, &n.to_string(), "");
        if n % 2 == 0 {
            memory.remove(Table::Learned, &n.to_string());
        }
    }
    memory.flush().unwrap();
    let copy = killed(folder.path());
    let after = Memory::open(copy.path()).unwrap();
    assert_eq!((after.len(Table::Alerts), after.len(Table::Learned)), (0, tables::CHANGED_KEYS_MAX / 2));
}
