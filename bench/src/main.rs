//! Figures of the built program, side by side in one run with its yardsticks: a bare actix-web handler and the bare
//! group-committed insert of the same store. SQLite always; PostgreSQL where `scripts/bench` finds a server.
//!
//! Usage: `bench PROGRAM [--seconds N] [--only TABLE] [--waiting N] [--queued N]`, or `bench bare` (the handler by itself,
//! started by the former).
//! Invariant: everything talks to loopback, is bounded in time, and ends the processes it started.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark prints its tables and its troubles")]

mod bare;
mod commits;
mod engine_alone;
mod ground;
mod growth;
mod load;
mod program;
mod requests;
mod shapes;
mod sleepers;
mod templates;
mod turns;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use ground::Ground;
use load::Figures;

/// The program's own: an engine that is measured by itself is measured with it.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const USAGE: &str = "usage: bench PROGRAM [--seconds N] [--only start|engine|requests|shapes|growth|templates|turns|sleepers] \
                     [--waiting N] [--queued N]";

/// What was asked for.
#[derive(Debug, Clone)]
struct Wanted {
    program: PathBuf,
    /// The time of each measurement.
    time: Duration,
    only: Option<String>,
    /// Runs that wait, in the table of sleepers.
    waiting: usize,
    /// Runs of the tenant with the long queue, in the table of turns.
    queued: usize,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.first().map(String::as_str) {
        Some("bare") => bare::serve().map_err(|error| error.to_string()),
        Some(program) => wanted(Path::new(program), &arguments).and_then(|wanted| measure(&wanted)),
        None => Err(USAGE.to_owned()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn wanted(program: &Path, arguments: &[String]) -> Result<Wanted, String> {
    let program = program.to_owned();
    let mut wanted = Wanted { program, time: Duration::from_secs(4), only: None, waiting: 100_000, queued: 100_000 };
    let mut words = arguments.iter().skip(1);
    while let Some(flag) = words.next() {
        let value = words.next().ok_or(USAGE)?;
        let number = || value.parse::<usize>().map_err(|_| format!("{flag} takes a number, not `{value}`"));
        match flag.as_str() {
            "--seconds" => wanted.time = Duration::from_secs(number()?.clamp(1, 60) as u64),
            "--only" => wanted.only = Some(value.clone()),
            "--waiting" => wanted.waiting = number()?,
            "--queued" => wanted.queued = number()?,
            _ => return Err(USAGE.to_owned()),
        }
    }
    Ok(wanted)
}

fn measure(wanted: &Wanted) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    runtime.block_on(async {
        let grounds = Ground::all();
        if !grounds.contains(&Ground::Postgres) {
            println!("PostgreSQL is not measured: no server was found (scripts/setup test installs one)\n");
        }
        let asked = |table: &str| wanted.only.as_deref().is_none_or(|only| only == table);
        if asked("start") {
            start(wanted).await?;
        }
        if asked("templates") {
            templates::table(wanted).await?;
        }
        if asked("engine") {
            engine(wanted).await?;
        }
        for ground in grounds {
            if asked("requests") {
                requests::table(wanted, ground).await?;
            }
            if asked("shapes") {
                requests::shapes(wanted, ground).await?;
            }
            if asked("growth") {
                growth::table(wanted, ground).await?;
            }
            if asked("turns") {
                turns::table(wanted, ground).await?;
            }
            if asked("sleepers") {
                sleepers::table(wanted, ground).await?;
            }
        }
        Ok(())
    })
}

async fn start(wanted: &Wanted) -> Result<(), String> {
    let starts = program::cold_starts(&wanted.program, 5).await?;
    let weir = program::Weir::start(&wanted.program, Ground::Sqlite, &[]).await?;
    let starts: Vec<String> = starts.iter().map(|ms| format!("{ms:.0}")).collect();
    println!("cold start (spawn to first answer): {} ms", starts.join(" "));
    println!("idle resident memory: {:.1} MiB\n", mib(weir.resident_kib()?));
    Ok(())
}

/// By itself, for who looks where its time goes.
async fn engine(wanted: &Wanted) -> Result<(), String> {
    println!("{:>36}{:>24}", "engine alone, 16 at once", "per s   p50   p99 ms");
    let registry = engine_alone::registry()?;
    for shape in shapes::usual() {
        let figures = engine_alone::Ready::new(&shape, &registry)?.load(16, wanted.time).await?;
        println!("{:>36} {}", shape.about, shown(&figures));
    }
    println!();
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn mib(kib: u64) -> f64 {
    kib as f64 / 1024.0
}

fn shown(figures: &Figures) -> String {
    format!("{:>8.0} {:>6.2} {:>7.2}", figures.rate(), figures.percentile_ms(0.50), figures.percentile_ms(0.99))
}
