//! First figures, side by side in one run: requests of a bare actix-web handler, commits of the bare store, and durable
//! one-step runs of the built program, at the same numbers of connections, as ratios.
//!
//! Usage: `bench PROGRAM [--seconds N]`, or `bench bare` (the handler by itself, started by the former).
//! Invariant: everything talks to loopback, is bounded in time, and ends the processes it started.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark prints its table and its troubles")]

mod bare;
mod commits;
mod load;
mod program;
mod shapes;

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use load::{Figures, Request};

const CONNECTIONS: [usize; 4] = [1, 16, 64, 256];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.first().map(String::as_str) {
        Some("bare") => bare::serve().map_err(|error| error.to_string()),
        Some(program) => measure(Path::new(program), seconds(&arguments)),
        None => Err("usage: bench PROGRAM [--seconds N]".to_owned()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn seconds(arguments: &[String]) -> Duration {
    let given = arguments.iter().skip_while(|word| *word != "--seconds").nth(1).and_then(|text| text.parse().ok());
    Duration::from_secs(given.unwrap_or(4_u64).clamp(1, 60))
}

fn measure(program: &Path, time: Duration) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    runtime.block_on(async {
        let starts = program::cold_starts(program, 5).await?;
        let weir = program::Weir::start(program).await?;
        let idle = weir.resident_kib()?;
        let bare = program::Bare::start().await?;
        let one = weir.request(shapes::ONE, r#"{"number":7}"#);
        println!(
            "{:>6} {:>24} {:>24} {:>24} {:>16} {:>16}",
            "conns", "bare handler", "bare commits", "durable runs", "bare/run", "commits/run"
        );
        println!(
            "{:>6} {:>24} {:>24} {:>24} {:>16} {:>16}",
            "",
            "per s   p50   p99 ms",
            "per s   p50   p99 ms",
            "per s   p50   p99 ms",
            "(cost in bare)",
            "(store's part)"
        );
        for connections in CONNECTIONS {
            let handler = load::run(&bare.request(), connections, time).await?;
            let commits = commits::run(connections, time).await?;
            let runs = load::run(&one, connections, time).await?;
            println!(
                "{connections:>6} {:>24} {:>24} {:>24} {:>16.2} {:>16.2}",
                shown(&handler),
                shown(&commits),
                shown(&runs),
                handler.rate() / runs.rate(),
                commits.rate() / runs.rate(),
            );
        }
        shapes_table(&weir, &bare, time).await?;
        println!(
            "cold start (spawn to first answer), ms: {}",
            starts.iter().map(|ms| format!("{ms:.0}")).collect::<Vec<_>>().join(" ")
        );
        println!("idle resident memory: {:.1} MiB; after the load: {:.1} MiB", mib(idle), mib(weir.resident_kib()?));
        Ok(())
    })
}

/// What other shapes cost: alone, for the time one caller waits, and at 16 connections, for the rate.
async fn shapes_table(weir: &program::Weir, bare: &program::Bare, time: Duration) -> Result<(), String> {
    let handler = load::run(&bare.request(), 16, time).await?;
    println!("\n{:>32} {:>24} {:>24} {:>12}", "shape", "1 connection", "16 connections", "bare/run");
    println!("{:>32} {:>24} {:>24} {:>12}", "", "per s   p50   p99 ms", "per s   p50   p99 ms", "(at 16)");
    for shape in shapes::all() {
        let request = weir.request(shape.name, shape.body);
        let alone = load::run(&request, 1, time).await.map_err(|error| format!("{}: {error}", shape.name))?;
        let together = load::run(&request, 16, time).await.map_err(|error| format!("{}: {error}", shape.name))?;
        println!(
            "{:>32} {:>24} {:>24} {:>12.2}",
            shape.about,
            shown(&alone),
            shown(&together),
            handler.rate() / together.rate()
        );
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
