//! What a program and a web server get to see, and what becomes of an alert that does not arrive.

use std::fs;
use std::path::Path;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::tls::https::https_client;
use crate::tls::roots::Roots;

const PATIENCE: Duration = Duration::from_secs(20);
const SOON: Duration = Duration::from_millis(20);

fn alert(text: &str) -> Alert {
    let node = Arc::from("mx1.example.org");
    let time = Timestamp::from_secs(1_800_000_000);
    Alert::new(Subject::LearnedViolation, State::Raised, time, node, text.to_owned())
}

fn script(folder: &Path, name: &str, body: &str) -> Vec<String> {
    let path = folder.join(name);
    fs::write(&path, format!("{body}\n")).unwrap();
    vec!["/bin/sh".to_owned(), path.display().to_string(), folder.display().to_string()]
}

/// Ends when the file has so many lines.
async fn lines(path: &Path, count: usize) -> Vec<String> {
    let mut ticks = tokio::time::interval(SOON);
    let found = timeout(PATIENCE, async {
        loop {
            let text = fs::read_to_string(path).unwrap_or_default();
            if text.ends_with('\n') && text.lines().count() >= count {
                return text.lines().map(str::to_owned).collect();
            }
            ticks.tick().await;
        }
    });
    found.await.expect("the program did not write")
}

fn start(ways: Ways, pauses: &[Duration]) -> (Alerts, tokio::task::JoinHandle<()>) {
    let alerts = Alerts::with_pauses(https_client(&Roots::empty()).unwrap(), ways, pauses);
    let task = tokio::spawn(alerts.clone().run());
    (alerts, task)
}

#[test]
fn the_json_of_an_alert_has_what_is_known_and_leaves_out_the_rest() {
    let mut full = alert("words");
    assert_eq!(
        serde_json::to_string(&full).unwrap(),
        concat!(
            r#"{"alert":"learned.violation","state":"raised","time":"2027-01-15T08:00:00.000000Z","#,
            r#""node":"mx1.example.org","text":"words"}"#
        )
    );
    full.domain = Some(Domain::parse("bank.example").unwrap());
    (full.wanted, full.reason) = (Some("encrypt"), Some(Reason::StarttlsNotSupported));
    let json = serde_json::to_value(&full).unwrap();
    assert_eq!((&json["domain"], &json["wanted"]), (&"bank.example".into(), &"encrypt".into()));
    assert_eq!(json["reason"], "starttls-not-supported");
}

#[tokio::test]
async fn a_program_gets_each_alert_on_its_standard_input_without_a_shell_or_an_environment() {
    let folder = tempfile::tempdir().unwrap();
    let mut words = script(folder.path(), "page", "cat >>\"$1/got\"; echo \"$2 ${HOME-none}\" >>\"$1/got\"");
    words.push("$(id) *".to_owned());
    let (alerts, task) = start(Ways { command: Some(words), webhook: None }, &[]);
    let got = folder.path().join("got");
    alerts.put(&alert("one"));
    let first = lines(&got, 2).await;
    assert_eq!(first[0], serde_json::to_string(&alert("one")).unwrap());
    assert_eq!(first[1], "$(id) * none");
    alerts.put(&alert("two"));
    assert!(lines(&got, 4).await[2].contains("\"text\":\"two\""));
    task.abort();
}

#[tokio::test]
async fn a_run_that_fails_is_tried_again_and_one_that_hangs_is_killed_with_its_children() {
    let folder = tempfile::tempdir().unwrap();
    let body = "echo try >>\"$1/tries\"; test $(wc -l <\"$1/tries\") -gt 2";
    let words = script(folder.path(), "moody", body);
    let (alerts, task) = start(Ways { command: Some(words), webhook: None }, &[SOON; 3]);
    alerts.put(&alert("one"));
    alerts.put(&alert("two"));
    assert_eq!(lines(&folder.path().join("tries"), 4).await.len(), 4);
    task.abort();

    let hangs = script(folder.path(), "hangs", "sleep 600 & echo $! >\"$1/child\"; wait");
    assert_eq!(command::run(&hangs, "", Duration::from_secs(2)).await, Err(CommandError::Timeout));
    let child: i32 = lines(&folder.path().join("child"), 1).await[0].parse().unwrap();
    // Nobody may have waited for it yet.
    let is_gone = || fs::read_to_string(format!("/proc/{child}/stat")).map_or(true, |state| state.contains(") Z "));
    let mut ticks = tokio::time::interval(SOON);
    let gone = timeout(PATIENCE, async {
        while !is_gone() {
            ticks.tick().await;
        }
    });
    gone.await.expect("the child lives on");
    let missing = command::run(&["/nonexistent/page".to_owned()], "", PATIENCE).await;
    assert!(matches!(missing, Err(CommandError::Start(_))), "{missing:?}");
}

#[tokio::test]
async fn a_web_server_gets_the_json_again_until_it_takes_it_while_the_program_goes_on() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let words = script(folder.path(), "page", "cat >>\"$1/got\"");
    let ways = Ways { webhook: WebhookUrl::parse(&format!("http://{address}/hook")).ok(), command: Some(words) };
    let (alerts, task) = start(ways, &[SOON; 3]);
    alerts.put(&alert("one"));
    lines(&folder.path().join("got"), 1).await;
    let serve = async {
        for answer in ["HTTP/1.1 500 No\r\n\r\n", "HTTP/1.1 204 Yes\r\n\r\n"] {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"}") {
                assert!(stream.read_buf(&mut request).await.unwrap() > 0);
            }
            assert!(String::from_utf8(request).unwrap().ends_with(&serde_json::to_string(&alert("one")).unwrap()));
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    };
    timeout(PATIENCE, serve).await.expect("the web server was not asked twice");
    task.abort();
}

#[tokio::test]
async fn what_exceeds_the_queue_is_given_up_and_without_a_way_nothing_waits() {
    let tls = https_client(&Roots::empty()).unwrap();
    let ways = Ways { command: Some(vec!["/bin/true".to_owned()]), webhook: None };
    let alerts = Alerts::new(tls.clone(), ways);
    (0..QUEUE_ALERTS_MAX + 9).for_each(|n| alerts.put(&alert(&n.to_string())));
    let waiting = |alerts: &Alerts| alerts.0.command.waiting.lock().unwrap().len();
    assert_eq!(waiting(&alerts), QUEUE_ALERTS_MAX);
    let silent = Alerts::new(tls, Ways::default());
    silent.put(&alert("one"));
    assert_eq!(waiting(&silent), 0);
}
