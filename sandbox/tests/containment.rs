//! A job that misbehaves costs its child and nothing else.
#![expect(clippy::unwrap_used, reason = "the suite's verbs fail loudly")]

use std::time::{Duration, Instant};

use bytes::Bytes;
use sandbox::{Limits, Pool, PoolConfig, SandboxError};
use serde_json::{Value, json};

/// Whose jobs these are, where it does not matter.
const TENANT: u128 = 7;

fn pool(max_children: usize) -> Pool {
    let mut config = PoolConfig::new(env!("CARGO_BIN_EXE_sandbox-test-child"));
    config.max_children = max_children;
    Pool::new(config)
}

fn limits() -> Limits {
    Limits { wall: Duration::from_secs(20), memory_bytes: 64 << 20, ..Limits::default() }
}

async fn run(pool: &Pool, job: &str, limits: Limits) -> Result<Value, SandboxError> {
    pool.share(TENANT).run(job, Value::Null, Bytes::new(), limits).await.map(|answer| answer.output)
}

async fn assert_alive(pool: &Pool) {
    let answer = pool.share(TENANT).run("echo", json!({"a": 1}), Bytes::from_static(b"bytes"), limits()).await.unwrap();
    assert_eq!(answer.output, json!({"a": 1}));
    assert_eq!(&answer.payload[..], b"bytes");
}

#[tokio::test]
async fn a_warm_child_serves_one_job_after_another() {
    let pool = pool(2);
    assert_eq!(pool.idle_children(), 0, "nothing starts before the first job");
    let first = run(&pool, "process_id", limits()).await.unwrap();
    let second = run(&pool, "process_id", limits()).await.unwrap();
    assert_eq!(first, second);
    assert_alive(&pool).await;
    assert_eq!(pool.idle_children(), 1);
}

#[tokio::test]
async fn a_refusal_keeps_its_code_and_its_child() {
    let pool = pool(1);
    let before = run(&pool, "process_id", limits()).await.unwrap();
    let error = run(&pool, "refuse", limits()).await.unwrap_err();
    let SandboxError::Refused(error) = error else { panic!("{error:?}") };
    assert_eq!((error.code.as_str(), error.message.as_str()), ("not_today", "Come back tomorrow."));
    assert_eq!(run(&pool, "process_id", limits()).await.unwrap(), before);
    let error = run(&pool, "no_such_job", limits()).await.unwrap_err();
    assert_eq!(error, SandboxError::UnknownJob("no_such_job".to_owned()));
}

#[tokio::test]
async fn a_memory_bomb_ends_as_memory() {
    let pool = pool(1);
    assert_eq!(run(&pool, "memory", limits()).await.unwrap_err(), SandboxError::Memory);
    assert_alive(&pool).await;
}

#[tokio::test]
async fn an_endless_loop_ends_at_its_wall_and_at_its_cpu_limit() {
    let pool = pool(1);
    let started = Instant::now();
    let wall = Limits { wall: Duration::from_millis(300), ..limits() };
    assert_eq!(run(&pool, "loop", wall).await.unwrap_err(), SandboxError::Time);
    assert!(started.elapsed() < Duration::from_secs(10));
    let cpu = Limits { cpu: Duration::from_secs(1), wall: Duration::from_secs(60), ..limits() };
    assert_eq!(run(&pool, "loop", cpu).await.unwrap_err(), SandboxError::Time);
    assert!(started.elapsed() < Duration::from_secs(50), "the CPU limit came before the wall");
    assert_alive(&pool).await;
}

#[tokio::test]
async fn panics_aborts_and_deep_recursion_are_crashes_that_say_so() {
    let pool = pool(1);
    for (job, says) in [("panic", "on purpose"), ("abort", "signal 6"), ("recurse", "overflowed its stack")] {
        let error = run(&pool, job, limits()).await.unwrap_err();
        let SandboxError::Crashed(text) = &error else { panic!("{job}: {error:?}") };
        assert!(text.contains(says), "{job}: {text}");
        assert_alive(&pool).await;
    }
}

#[tokio::test]
async fn a_giant_output_or_input_is_refused() {
    let pool = pool(1);
    let small = Limits { output_bytes: 1 << 20, ..limits() };
    assert_eq!(
        run(&pool, "giant", small).await.unwrap_err(),
        SandboxError::TooLarge { what: "output", limit_bytes: 1 << 20 }
    );
    let small = Limits { input_bytes: 4, ..limits() };
    let error = pool.share(TENANT).run("echo", Value::Null, Bytes::from_static(b"12345"), small).await.unwrap_err();
    assert_eq!(error, SandboxError::TooLarge { what: "input", limit_bytes: 4 });
    assert_alive(&pool).await;
}

#[tokio::test]
async fn prints_do_not_reach_the_protocol_and_the_environment_is_empty() {
    let pool = pool(1);
    assert_eq!(run(&pool, "print", limits()).await.unwrap(), json!("printed"));
    assert_eq!(run(&pool, "environment", limits()).await.unwrap(), json!(["MALLOC_ARENA_MAX"]));
}

#[tokio::test]
async fn a_child_has_no_files_no_network_and_no_processes() {
    let pool = pool(1);
    assert_eq!(run(&pool, "escape", limits()).await.unwrap(), json!([]));
}

#[tokio::test]
async fn twenty_jobs_share_two_children_while_neighbours_misbehave() {
    let pool = pool(2);
    let jobs = (0..20).map(|number| {
        let pool = pool.clone();
        tokio::spawn(async move {
            if number % 5 == 4 {
                let bomb = if number % 2 == 0 { "memory" } else { "abort" };
                assert!(run(&pool, bomb, limits()).await.is_err());
            } else {
                let answer = pool.share(TENANT).run("echo", json!(number), Bytes::new(), limits()).await.unwrap();
                assert_eq!(answer.output, json!(number));
            }
        })
    });
    for job in jobs.collect::<Vec<_>>() {
        job.await.unwrap();
    }
    assert!(pool.idle_children() <= 2);
}

#[tokio::test]
async fn dropping_a_job_kills_its_child() {
    let pool = pool(1);
    let process = run(&pool, "process_id", limits()).await.unwrap();
    let endless = run(&pool, "loop", limits());
    assert!(tokio::time::timeout(Duration::from_millis(200), endless).await.is_err());
    let status = format!("/proc/{process}/stat");
    let started = Instant::now();
    // A killed child shows as a zombie until the runtime has reaped it, then not at all.
    while std::fs::read_to_string(&status).is_ok_and(|text| !text.contains(") Z ")) {
        assert!(started.elapsed() < Duration::from_secs(10), "the child of a dropped job still runs");
        tokio::task::yield_now().await;
    }
    assert_alive(&pool).await;
}

#[tokio::test]
async fn an_idle_child_ends_by_itself() {
    let mut config = PoolConfig::new(env!("CARGO_BIN_EXE_sandbox-test-child"));
    config.idle_timeout = Duration::from_millis(50);
    let pool = Pool::new(config);
    assert_alive(&pool).await;
    let started = Instant::now();
    while pool.idle_children() > 0 {
        assert!(started.elapsed() < Duration::from_secs(10));
        tokio::task::yield_now().await;
    }
    assert_alive(&pool).await;
}

#[tokio::test]
async fn a_program_that_is_no_child_is_a_start_error() {
    for program in ["/bin/true", "/no/such/program"] {
        let pool = Pool::new(PoolConfig::new(program));
        let error = run(&pool, "echo", limits()).await.unwrap_err();
        assert!(matches!(error, SandboxError::Start(_)), "{error:?}");
    }
}

#[tokio::test]
async fn a_tenant_that_floods_the_pool_cannot_keep_another_from_the_next_child() {
    let pool = pool(2);
    let flood = pool.share(1);
    let jobs = (0..200).map(|_| {
        let flood = flood.clone();
        tokio::spawn(async move { flood.run("process_id", Value::Null, Bytes::new(), limits()).await })
    });
    let jobs: Vec<_> = jobs.collect();
    while pool.idle_children() == 0 && !jobs.iter().any(tokio::task::JoinHandle::is_finished) {
        tokio::task::yield_now().await;
    }
    let answer = pool.share(2).run("echo", json!("newcomer"), Bytes::new(), limits()).await.unwrap();
    assert_eq!(answer.output, json!("newcomer"));
    let done = jobs.iter().filter(|job| job.is_finished()).count();
    assert!(done < 100, "the newcomer waited for {done} jobs of the flood");
    for job in jobs {
        job.await.unwrap().unwrap();
    }
}
