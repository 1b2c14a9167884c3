//! The child that the suites start: the real `child_main` with jobs that misbehave on demand.
#![expect(clippy::print_stdout, reason = "one job prints, to show that prints do not reach the protocol")]

use std::process::ExitCode;

use bytes::Bytes;
use sandbox::{Handlers, JobError};
use serde_json::{Value, json};

fn main() -> ExitCode {
    sandbox::child_main(
        Handlers::new()
            .with("echo", |input, payload| Ok((input, payload)))
            .with("refuse", |_, _| Err(JobError::new("not_today", "Come back tomorrow.")))
            .with("memory", |_, _| {
                let mut hoard: Vec<Vec<u8>> = Vec::new();
                loop {
                    hoard.push(vec![1; 16 << 20]);
                    std::hint::black_box(&hoard);
                }
            })
            .with("loop", |_, _| {
                let mut number = 0_u64;
                loop {
                    number = std::hint::black_box(number.wrapping_add(1));
                }
            })
            .with("panic", |_, _| panic!("on purpose"))
            .with("abort", |_, _| std::process::abort())
            .with("recurse", |_, _| Ok((json!(deep(0)), Bytes::new())))
            .with("giant", |_, _| Ok((Value::Null, Bytes::from(vec![0; 8 << 20]))))
            .with("print", |_, _| {
                println!("noise that must not reach the protocol");
                Ok((json!("printed"), Bytes::new()))
            })
            .with("escape", escape)
            .with("process_id", |_, _| Ok((json!(std::process::id()), Bytes::new())))
            .with("environment", |_, _| {
                Ok((json!(std::env::vars().map(|(name, _)| name).collect::<Vec<_>>()), Bytes::new()))
            }),
    )
}

/// Tries every way out and names those that were open.
#[expect(clippy::unnecessary_wraps, reason = "the shape of a handler")]
fn escape(_input: Value, _payload: Bytes) -> Result<(Value, Bytes), JobError> {
    let mut open = Vec::new();
    if std::fs::read("/etc/passwd").is_ok() {
        open.push("read");
    }
    if std::fs::write("/tmp/weir-sandbox-escape", "out").is_ok() {
        open.push("write");
    }
    if std::net::TcpListener::bind("127.0.0.1:0").is_ok() {
        open.push("listen");
    }
    if std::net::UdpSocket::bind("127.0.0.1:0").is_ok() {
        open.push("udp");
    }
    if std::process::Command::new("/bin/true").status().is_ok() {
        open.push("process");
    }
    Ok((json!(open), Bytes::new()))
}

fn deep(level: u64) -> u64 {
    let filler = std::hint::black_box([level; 512]);
    if level == u64::MAX { 0 } else { deep(level + 1) + filler[7] }
}
