//! The life of a policy: found, kept, changed, taken back, out of reach, and over.

use crate::clock;
use crate::facts::fake_policy_host::{Answer, POLICY, PolicyHost, domain};
use crate::facts::sts_fetch::FETCH_TIMEOUT;
use crate::policy::sts_policy::{Mode, StsPolicy};

use super::refresh::{EXPIRED_KEPT, REFRESH_AFTER, REFRESH_IF_USED_WITHIN, Refreshed};
use super::*;

const FIRST: Result<&str, LookupError> = Ok("v=STSv1; id=first");
const SECOND: Result<&str, LookupError> = Ok("v=STSv1; id=second");
const GONE: Result<&str, LookupError> = Err(LookupError::NoSuchName);
const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);
/// The `max_age` of [`POLICY`].
const WEEK: Duration = Duration::from_secs(604_800);

/// Around the true moment, because certificates are judged by it.
fn start() -> Timestamp {
    Timestamp::from_secs(clock::timestamp().micros() / 1_000_000)
}

fn broken() -> Answer {
    Answer::new("HTTP/1.1 503 Busy", "")
}

fn with_mode(mode: &str) -> String {
    POLICY.replace("enforce", mode)
}

/// A cache, its web server, and what is asked of it.
struct World {
    host: PolicyHost,
    cache: StsCache,
    start: Timestamp,
}

impl World {
    async fn new(record: Result<&str, LookupError>, answer: Answer) -> Self {
        Self::with_memory(Memory::ephemeral(), record, answer).await
    }

    async fn with_memory(memory: Memory, record: Result<&str, LookupError>, answer: Answer) -> Self {
        let host = PolicyHost::start(answer).await;
        let fetcher = host.fetcher(host.dns_with_record(record));
        // However busy this machine is, the answer of the web server is waited for.
        Self { cache: StsCache::waiting(memory, fetcher, FETCH_TIMEOUT), host, start: start() }
    }

    fn publishes(&self, record: Result<&str, LookupError>) {
        self.cache.set_fetcher(self.host.fetcher(self.host.dns_with_record(record)));
    }

    async fn ask(&self, after: Duration) -> StsAnswer {
        self.cache.policy(&domain(), self.start + after).await
    }

    /// The mode and id of the policy that applies, and the fault.
    async fn told(&self, after: Duration) -> (Option<(Mode, String)>, Option<StsFault>) {
        let answer = self.ask(after).await;
        let policy = answer.policy.map(|cached| (cached.policy.mode, cached.id.to_string()));
        (policy, answer.problem.map(|problem| problem.fault))
    }

    fn fetches(&self) -> usize {
        self.host.requests().len()
    }
}

fn of(mode: Mode, id: &str) -> Option<(Mode, String)> {
    Some((mode, id.to_owned()))
}

fn status(code: u16) -> Option<StsFault> {
    Some(StsFault::Fetch(FetchError::Status(code)))
}

#[tokio::test]
async fn a_policy_is_fetched_once_and_each_mode_is_told_as_it_is() {
    for (text, mode) in [("enforce", Mode::Enforce), ("testing", Mode::Testing), ("none", Mode::None)] {
        let world = World::new(FIRST, Answer::policy(&with_mode(text))).await;
        for after in [Duration::ZERO, MINUTE, WEEK - MINUTE] {
            assert_eq!(world.told(after).await, (of(mode, "first"), None));
        }
        assert_eq!(world.fetches(), 1);
    }
}

#[tokio::test]
async fn a_domain_without_a_record_has_no_policy_and_no_web_server_is_asked() {
    for (record, fault) in [
        (GONE, None),
        (Err(LookupError::NoData), None),
        (Ok("v=spf1 -all"), None),
        (Ok("v=STSv1; id=-"), Some(StsFault::Record(sts_record::StsRecordError::Id))),
        (Err(LookupError::ServFail), Some(StsFault::Lookup(LookupError::ServFail))),
        (Err(LookupError::Bogus), Some(StsFault::Lookup(LookupError::Bogus))),
    ] {
        let world = World::new(record, Answer::policy(POLICY)).await;
        assert_eq!(world.told(Duration::ZERO).await, (None, fault.clone()));
        assert!(world.ask(Duration::ZERO).await.problem.is_none_or(|problem| !problem.report));
        assert_eq!(world.fetches(), 0);
    }
}

#[tokio::test]
async fn a_policy_in_cache_survives_the_outage_of_the_web_host_and_of_the_record() {
    let world = World::new(FIRST, Answer::policy(POLICY)).await;
    world.ask(Duration::ZERO).await;
    world.host.answers(broken());
    for (record, fault) in [
        (FIRST, None),
        (GONE, Some(StsFault::RecordGone)),
        (Ok("v=spf1 -all"), Some(StsFault::RecordGone)),
        (Err(LookupError::Timeout), Some(StsFault::Lookup(LookupError::Timeout))),
        (Err(LookupError::Bogus), Some(StsFault::Lookup(LookupError::Bogus))),
        (SECOND, status(503)),
    ] {
        world.publishes(record);
        let answer = world.ask(WEEK - MINUTE).await;
        assert_eq!(answer.policy.map(|cached| cached.policy.mode), Some(Mode::Enforce), "{record:?}");
        assert!(answer.problem.as_ref().is_none_or(|problem| problem.report));
        assert_eq!(answer.problem.map(|problem| problem.fault), fault);
        // When it is over, nothing is left.
        assert_eq!(world.ask(WEEK).await.policy, None, "{record:?}");
    }
}

#[tokio::test]
async fn a_new_id_brings_the_new_policy_and_a_failed_fetch_leaves_the_old_one() {
    let world = World::new(FIRST, Answer::policy(POLICY)).await;
    assert_eq!(world.told(Duration::ZERO).await, (of(Mode::Enforce, "first"), None));
    // Without a new id nobody sees a new policy.
    world.host.answers(Answer::policy(&with_mode("testing")));
    assert_eq!(world.told(MINUTE).await, (of(Mode::Enforce, "first"), None));
    world.publishes(SECOND);
    world.host.answers(broken());
    assert_eq!(world.told(MINUTE).await, (of(Mode::Enforce, "first"), status(503)));
    world.host.answers(Answer::policy(&with_mode("testing")));
    assert_eq!(world.told(7 * MINUTE).await, (of(Mode::Testing, "second"), None));
    assert_eq!(world.cache.cached(&domain()).map(|cached| cached.fetched), Some(world.start + 7 * MINUTE));
    assert_eq!(world.fetches(), 3);
}

#[tokio::test]
async fn a_policy_of_mode_none_takes_the_promise_back() {
    let world = World::new(FIRST, Answer::policy(POLICY)).await;
    world.ask(Duration::ZERO).await;
    world.publishes(SECOND);
    world.host.answers(Answer::policy("version: STSv1\nmode: none\nmax_age: 86400\n"));
    assert_eq!(world.told(MINUTE).await, (of(Mode::None, "second"), None));
    // From now on nobody misses record and web server.
    world.publishes(GONE);
    world.host.answers(broken());
    assert_eq!(world.told(2 * MINUTE).await, (of(Mode::None, "second"), None));
    assert_eq!(world.told(2 * DAY).await, (None, None));
}

#[tokio::test]
async fn an_expired_policy_is_fetched_again_and_a_policy_that_is_over_applies_no_more() {
    let world = World::new(FIRST, Answer::policy(POLICY)).await;
    world.ask(Duration::ZERO).await;
    assert_eq!(world.told(WEEK).await, (of(Mode::Enforce, "first"), None));
    assert_eq!(world.fetches(), 2);
    world.host.answers(broken());
    assert_eq!(world.told(2 * WEEK - MINUTE).await, (of(Mode::Enforce, "first"), None));
    assert_eq!(world.told(2 * WEEK).await, (None, status(503)));
}

#[tokio::test]
async fn a_policy_that_holds_for_no_time_applies_and_is_not_fetched_for_each_message() {
    let world = World::new(FIRST, Answer::policy(&POLICY.replace("604800", "0"))).await;
    for _ in 0..3 {
        assert_eq!(world.told(Duration::ZERO).await, (of(Mode::Enforce, "first"), None));
    }
    assert_eq!(world.fetches(), 1);
    world.told(5 * MINUTE).await;
    assert_eq!(world.fetches(), 2);
}

#[tokio::test]
async fn a_failed_fetch_is_repeated_after_five_minutes_or_for_a_new_id() {
    let world = World::new(FIRST, broken()).await;
    for (record, minutes, fetches) in
        [(FIRST, 0, 1), (FIRST, 1, 1), (FIRST, 4, 1), (SECOND, 4, 2), (SECOND, 8, 2), (SECOND, 9, 3)]
    {
        world.publishes(record);
        let answer = world.ask(minutes * MINUTE).await;
        assert_eq!(answer.policy, None);
        let problem = StsProblem { fault: status(503).unwrap(), report: true };
        assert_eq!(answer.problem, Some(problem));
        assert_eq!(world.fetches(), fetches, "{record:?} {minutes}");
    }
}

#[tokio::test]
async fn each_fetch_that_fails_is_counted_once_however_many_ask() {
    let world = World::new(FIRST, broken()).await;
    let metrics = Arc::new(Metrics::new().unwrap());
    world.cache.count_in(metrics.clone());
    for (record, minutes, count) in [(FIRST, 0, 1), (FIRST, 1, 1), (SECOND, 1, 2), (GONE, 2, 2), (SECOND, 7, 3)] {
        world.publishes(record);
        world.ask(minutes * MINUTE).await;
        let text = String::from_utf8(metrics.render().unwrap()).unwrap();
        let line = format!(r#"gatepost_smtp_tls_failures_total{{reason="sts-policy-fetch-error"}} {count}"#);
        assert!(text.contains(&line), "{record:?} {minutes}");
    }
}

#[tokio::test]
async fn many_who_ask_at_once_share_one_fetch() {
    let world = World::new(FIRST, Answer::policy(POLICY)).await;
    let (domain, now) = (domain(), world.start);
    let ask = || world.cache.policy(&domain, now);
    let answers = tokio::join!(ask(), ask(), ask(), ask());
    for answer in [answers.0, answers.1, answers.2, answers.3] {
        assert_eq!(answer.policy.map(|cached| cached.policy.mode), Some(Mode::Enforce));
    }
    assert_eq!(world.fetches(), 1);
}

#[tokio::test]
async fn a_fetch_goes_on_when_nobody_waits_for_it_any_more() {
    let text = POLICY.replace("enforce", "testing");
    let world = World::new(FIRST, Answer::policy(&text)).await;
    {
        let domain = domain();
        let asked = world.cache.policy(&domain, world.start);
        tokio::select! {
            biased;
            _ = asked => {}
            () = world.host.asked(1) => {}
        }
    }
    let landing = world.cache.fetch(&domain(), StsId::parse("first").unwrap(), world.start).unwrap();
    landed(landing).await.unwrap();
    assert_eq!(world.cache.cached(&domain()).unwrap().policy.mode, Mode::Testing);
}

#[tokio::test]
async fn mail_does_not_wait_for_a_hanging_web_server_or_dns_if_there_is_a_policy() {
    let host = PolicyHost::start(Answer::policy(POLICY)).await;
    let fetcher = host.fetcher(host.dns_with_record(FIRST));
    let cache = StsCache::waiting(Memory::ephemeral(), fetcher, Duration::from_millis(100));
    let world = World { host, cache, start: start() };
    world.ask(Duration::ZERO).await;
    world.host.answers(Answer::Hangs(Vec::new()));
    world.publishes(SECOND);
    let answer = world.ask(MINUTE).await;
    assert_eq!(answer.policy.map(|cached| cached.id.to_string()).as_deref(), Some("first"));
    assert_eq!(answer.problem, Some(StsProblem { fault: StsFault::UnderWay, report: false }));
    world.host.asked(2).await;
    world.cache.set_fetcher(world.host.fetcher(world.host.dns_with_record(SECOND).with_silence(domain())));
    let timeout = StsFault::Lookup(LookupError::Timeout);
    assert_eq!(world.told(MINUTE).await, (of(Mode::Enforce, "first"), Some(timeout)));
    assert_eq!(world.fetches(), 2);
}

#[tokio::test]
async fn policies_survive_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let memory = Memory::open(folder.path()).unwrap();
    let world = World::with_memory(memory.clone(), FIRST, Answer::policy(POLICY)).await;
    let before = world.ask(Duration::ZERO).await;
    memory.flush().unwrap();
    let copy = tempfile::tempdir().unwrap();
    let file = crate::memory::FILE_NAME;
    std::fs::copy(folder.path().join(file), copy.path().join(file)).unwrap();

    let after = World::with_memory(Memory::open(copy.path()).unwrap(), GONE, broken()).await;
    let answer = after.cache.policy(&domain(), world.start + MINUTE).await;
    assert_eq!(answer.policy, before.policy);
    assert_eq!(answer.problem, Some(StsProblem { fault: StsFault::RecordGone, report: true }));
}

#[tokio::test]
async fn what_cannot_be_read_back_is_fetched_anew() {
    for garbage in ["", "{}", r#"{"id":"first","policy":"nonsense","fetched":"2026-01-01T00:00:00Z","used":"x"}"#] {
        let memory = Memory::ephemeral();
        memory.put(Table::Sts, domain().as_str(), garbage.as_bytes()).unwrap();
        let world = World::with_memory(memory, FIRST, Answer::policy(POLICY)).await;
        assert_eq!(world.told(Duration::ZERO).await, (of(Mode::Enforce, "first"), None));
    }
}

#[tokio::test]
async fn a_policy_is_refreshed_daily_even_if_the_record_is_gone() {
    let world = World::new(FIRST, Answer::policy(POLICY)).await;
    world.ask(Duration::ZERO).await;
    let round = |refreshed, failed| Refreshed { refreshed, failed, forgotten: 0 };
    assert_eq!(world.cache.refresh_due(world.start + REFRESH_AFTER - MINUTE).await, round(0, 0));
    for (day, record, answer, expected, id) in [
        (1, FIRST, Answer::policy(POLICY), round(1, 0), "first"),
        (2, GONE, Answer::policy(POLICY), round(1, 0), "first"),
        (3, SECOND, Answer::policy(POLICY), round(1, 0), "second"),
        (4, GONE, broken(), round(0, 1), "second"),
        (5, Err(LookupError::ServFail), Answer::policy(POLICY), round(1, 0), "second"),
    ] {
        world.publishes(record);
        world.host.answers(answer);
        let now = world.start + day * REFRESH_AFTER;
        assert_eq!(world.cache.refresh_due(now).await, expected, "{day}");
        let cached = world.cache.cached(&domain()).unwrap();
        assert_eq!(cached.id.as_str(), id);
        assert_eq!(cached.fetched == now, expected.refreshed == 1, "{day}");
    }
    assert_eq!(world.ask(WEEK + 5 * DAY - MINUTE).await.policy.map(|cached| cached.policy.mode), Some(Mode::Enforce));
}

#[tokio::test]
async fn policies_that_nobody_uses_expire_and_those_that_are_long_over_are_forgotten() {
    let year = POLICY.replace("604800", "31557600");
    for (text, asked_after, due) in [
        (POLICY, DAY, 1),
        // Half of its max_age.
        (&*POLICY.replace("604800", "7200"), MINUTE * 61, 1),
        (&*with_mode("none"), DAY, 0),
        (&*year, REFRESH_IF_USED_WITHIN, 1),
        (&*year, REFRESH_IF_USED_WITHIN + MINUTE, 0),
    ] {
        let world = World::new(FIRST, Answer::policy(text)).await;
        world.ask(Duration::ZERO).await;
        let round = world.cache.refresh_due(world.start + asked_after).await;
        assert_eq!(round, Refreshed { refreshed: due, ..Refreshed::default() }, "{text}");
    }
    let world = World::new(FIRST, Answer::policy(POLICY)).await;
    world.ask(Duration::ZERO).await;
    for (after, forgotten) in [(WEEK + EXPIRED_KEPT, 0), (WEEK + EXPIRED_KEPT + MINUTE, 1)] {
        let round = world.cache.refresh_due(world.start + after).await;
        assert_eq!(round, Refreshed { forgotten, ..Refreshed::default() });
        assert_eq!(world.cache.cached(&domain()).is_some(), forgotten == 0);
    }
}

#[tokio::test]
async fn a_clock_that_jumps_takes_no_policy_away_and_keeps_none_for_ever() {
    let world = World::new(FIRST, Answer::policy(POLICY)).await;
    world.ask(Duration::ZERO).await;
    // Back to before it was fetched, and ahead beyond its end while the clock is wrong.
    let earlier = world.start - 30 * DAY;
    assert!(world.cache.policy(&domain(), earlier).await.policy.is_some());
    world.host.answers(broken());
    assert_eq!(world.ask(WEEK + DAY).await.policy, None);
    assert_eq!(world.cache.refresh_due(world.start + WEEK + DAY).await, Refreshed::default());
    assert!(world.ask(2 * DAY).await.policy.is_some());
    // What was fetched in the future is refreshed, so that its moment is a true one again.
    world.host.answers(Answer::policy(POLICY));
    assert_eq!(world.cache.refresh_due(earlier).await.refreshed, 1);
    assert_eq!(world.cache.cached(&domain()).unwrap().fetched, earlier);
}

/// An enforced policy of a stranger, as long as a policy may be.
fn longest(now: Timestamp) -> CachedPolicy {
    let mx = format!("mx: {}.example\n", ["a"; 28].map(|label| label.repeat(7)).join(".")).repeat(250);
    let text = format!("version: STSv1\nmode: enforce\n{mx}max_age: 31557600\n");
    assert!(text.len() > 57_000);
    CachedPolicy { id: StsId::parse("b").unwrap(), policy: StsPolicy::parse(text.as_bytes()).unwrap(), fetched: now }
}

#[tokio::test]
async fn policies_of_strangers_push_out_none_that_mail_has_asked_for_again() {
    let memory = Memory::ephemeral();
    // Nobody has used any of them less lately than ours, as far as that is written down.
    let now = start() + DAY - MINUTE;
    let stranger = Kept {
        id: StsId::parse("a").unwrap(),
        policy: with_mode("enforce"),
        fetched: now,
        used: now,
        used_again: false,
    };
    let mut text = serde_json::to_string(&stranger).unwrap();
    text.push_str(&" ".repeat(crate::memory::VALUE_BYTES_MAX - text.len()));
    let put = |n: usize| memory.put(Table::Sts, &format!("d{n}.example"), text.as_bytes());
    let count = (0..).take_while(|n| put(*n).is_ok()).count();
    let world = World::with_memory(memory.clone(), FIRST, Answer::policy(POLICY)).await;
    for _ in 0..2 {
        world.ask(Duration::ZERO).await;
    }
    let longest = longest(now);
    // More than find room beside the others.
    let long: Vec<Domain> = (0..90).map(|n| Domain::parse(&format!("long{n}.example")).unwrap()).collect();
    long.iter().for_each(|domain| world.cache.0.keep(domain, &longest, now));
    assert!(long.iter().filter(|domain| world.cache.0.kept(domain).is_some()).count() < 80);
    assert!((0..count).all(|n| memory.get(Table::Sts, &format!("d{n}.example")).is_some()));
    assert_eq!(world.told(DAY).await, (of(Mode::Enforce, "first"), None));
    // Short ones find room among them.
    let short = CachedPolicy { policy: StsPolicy::parse(POLICY.as_bytes()).unwrap(), ..longest };
    let new = Domain::parse("new.example").unwrap();
    world.cache.0.keep(&new, &short, now);
    assert_eq!(world.cache.cached(&new), Some(short));
}

#[tokio::test]
async fn where_all_policies_last_a_new_one_applies_and_is_not_kept() {
    let memory = Memory::ephemeral();
    let kept = Kept {
        id: StsId::parse("a").unwrap(),
        policy: POLICY.to_owned(),
        fetched: start(),
        used: start(),
        used_again: true,
    };
    for n in 0..Table::Sts.entries_max() {
        memory.put(Table::Sts, &format!("d{n}.example"), serde_json::to_vec(&kept).unwrap()).unwrap();
    }
    let world = World::with_memory(memory.clone(), FIRST, Answer::policy(POLICY)).await;
    for fetches in 1..3 {
        assert_eq!(world.told(Duration::ZERO).await, (of(Mode::Enforce, "first"), None));
        assert_eq!(world.fetches(), fetches);
    }
    // When there is room again, it is.
    memory.remove(Table::Sts, "d0.example");
    world.told(Duration::ZERO).await;
    assert!(world.cache.cached(&domain()).is_some());
}

#[test]
fn failed_fetches_are_remembered_up_to_a_bound() {
    let mut fetches = Fetches::default();
    for n in 0..2 * FAILED_FETCHES_MAX {
        let failed = FailedFetch {
            id: StsId::parse("a").unwrap(),
            error: FetchError::Timeout,
            at: Timestamp::from_secs(1_800_000_000),
        };
        fetches.fail(&Domain::parse(&format!("d{n}.example")).unwrap(), failed);
        assert!(fetches.failed.len() <= FAILED_FETCHES_MAX);
    }
}
