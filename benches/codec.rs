//! Speed of what reads and writes SMTP: lines and commands, message content, replies, header fields.
//!
//! `cargo bench --bench codec`

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use gatepost::mail::headers::HeaderScan;
use gatepost::smtp::command::Command;
use gatepost::smtp::data::{Decoder, Encoder};
use gatepost::smtp::line::{Line, LineBuffer};
use gatepost::smtp::reply_parser::ReplyParser;

const LINE_BYTES_MAX: usize = 2048;
/// What comes from a socket at once.
const CHUNK_BYTES: usize = 16 * 1024;
/// 10 KB, 100 KB, 10 MB.
const CONTENT_BYTES: [usize; 3] = [10 << 10, 100 << 10, 10 << 20];
const SESSION: &[u8] = b"EHLO client.example\r\nMAIL FROM:<sender@client.example> SIZE=10240 BODY=8BITMIME\r\n\
    RCPT TO:<first@hosted.example>\r\nRCPT TO:<second@hosted.example> NOTIFY=FAILURE\r\nDATA\r\nQUIT\r\n";
const REPLIES: &[u8] = b"250-relay.example Hello client.example\r\n250-PIPELINING\r\n250-SIZE 52428800\r\n\
    250-8BITMIME\r\n250-STARTTLS\r\n250-DSN\r\n250 ENHANCEDSTATUSCODES\r\n250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n354 Go\r\n";
const HEADER: &[u8] = b"Received: from client.example (client.example [192.0.2.1])\r\n\tby relay.example with ESMTPS \
    id 01ARZ3NDEKTSV4RRFFQ69G5FAV\r\n\tfor <user@hosted.example>; Sun, 22 Nov 2026 10:00:00 +0000\r\n\
    From: Sender <sender@client.example>\r\nTo: <user@hosted.example>\r\nSubject: A message of the usual kind\r\n\
    Date: Sun, 22 Nov 2026 10:00:00 +0000\r\nMessage-ID: <1@client.example>\r\nMIME-Version: 1.0\r\n\
    Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n";

criterion_group!(benches, commands, replies, content, header);
criterion_main!(benches);

fn commands(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("commands");
    group.throughput(Throughput::Elements(SESSION.iter().filter(|byte| **byte == b'\n').count() as u64));
    group.bench_function("a session of six, line and parse", |bencher| {
        let mut buffer = LineBuffer::new(LINE_BYTES_MAX);
        bencher.iter(|| {
            buffer.push(black_box(SESSION));
            while let Some(line) = buffer.next_line() {
                let Line::Complete(line) = line else { unreachable!("the session is well-formed") };
                black_box(Command::parse(line)).expect("a command");
            }
        });
    });
    group.finish();
}

fn replies(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("replies");
    group.throughput(Throughput::Bytes(REPLIES.len() as u64));
    group.bench_function("EHLO, MAIL, RCPT, DATA", |bencher| {
        let mut parser = ReplyParser::default();
        bencher.iter(|| {
            let mut rest = black_box(REPLIES);
            while let Some(reply) = parser.read(&mut rest).expect("replies") {
                black_box(reply);
            }
        });
    });
    group.finish();
}

fn content(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("content");
    for bytes in CONTENT_BYTES {
        let content = text(bytes);
        let wire = encode(&content);
        group.throughput(Throughput::Bytes(content.len() as u64));
        let size = |what: &str| format!("{what}, {} KB", bytes >> 10);
        group.bench_function(size("decode"), |bencher| {
            bencher.iter_batched_ref(
                || Vec::with_capacity(wire.len()),
                |out| decode(&wire, out),
                BatchSize::LargeInput,
            );
        });
        group.bench_function(size("encode"), |bencher| {
            bencher.iter_with_large_drop(|| encode(black_box(&content)));
        });
    }
    group.finish();
}

fn header(criterion: &mut Criterion) {
    let message = [HEADER, &text(CONTENT_BYTES[0])].concat();
    let mut group = criterion.benchmark_group("header");
    group.throughput(Throughput::Bytes(message.len() as u64));
    group.bench_function("scan of a message of 10 KB", |bencher| {
        bencher.iter(|| {
            let mut scan = HeaderScan::default();
            scan.push(black_box(&message));
            scan.received_count()
        });
    });
    group.finish();
}

/// Lines of text, every fiftieth of which begins with a dot.
fn text(bytes: usize) -> Vec<u8> {
    let line = |number: usize| {
        let start = if number.is_multiple_of(50) { "." } else { "A" };
        format!("{start} line of text that is about as long as lines of mail tend to be: {number:>8}\r\n")
    };
    (0..).map(line).flat_map(String::into_bytes).take(bytes).collect()
}

fn encode(content: &[u8]) -> Vec<u8> {
    let (mut encoder, mut out) = (Encoder::new(), Vec::with_capacity(content.len() + content.len() / 32));
    for chunk in content.chunks(CHUNK_BYTES) {
        encoder.encode(chunk, &mut out);
    }
    encoder.finish(&mut out);
    out
}

fn decode(wire: &[u8], out: &mut Vec<u8>) {
    let mut decoder = Decoder::new();
    for chunk in wire.chunks(CHUNK_BYTES) {
        black_box(decoder.decode(chunk, out));
    }
}
