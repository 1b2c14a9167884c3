//! Calls that wait for their run, beside the yardsticks: one step at growing numbers of connections, then other shapes.
use crate::engine_alone::{Ready, registry};
use crate::ground::Ground;
use crate::program::{Bare, Weir};
use crate::{Wanted, commits, load, mib, shapes, shown};

const CONNECTIONS: [usize; 4] = [1, 16, 64, 256];

/// One durable step, at each number of connections.
pub(crate) async fn table(wanted: &Wanted, ground: Ground) -> Result<(), String> {
    let weir = Weir::start(&wanted.program, ground, &shapes::usual()[..1]).await?;
    let bare = Bare::start().await?;
    let idle = weir.resident_kib()?;
    let one = weir.request(shapes::ONE, shapes::NUMBER);
    println!("one step, durable, on {ground}");
    println!(
        "{:>6} {:>24} {:>24} {:>24} {:>10} {:>12}",
        "conns", "bare handler", "bare commits", "runs", "bare/run", "commits/run"
    );
    let figures = "per s   p50   p99 ms";
    println!("{:>6} {figures:>24} {figures:>24} {figures:>24}", "");
    for connections in CONNECTIONS {
        let handler = load::run(&bare.request(), connections, wanted.time).await?;
        let commits = commits::run(ground, connections, wanted.time).await?;
        let runs = load::run(&one, connections, wanted.time).await?;
        println!(
            "{connections:>6} {:>24} {:>24} {:>24} {:>10.2} {:>12.2}",
            shown(&handler),
            shown(&commits),
            shown(&runs),
            handler.rate() / runs.rate(),
            commits.rate() / runs.rate(),
        );
    }
    println!("resident memory: {:.1} MiB before, {:.1} MiB after\n", mib(idle), mib(weir.resident_kib()?));
    Ok(())
}

/// What other shapes cost: without a store, alone for the time that one caller waits, and at 16 connections for the rate.
pub(crate) async fn shapes(wanted: &Wanted, ground: Ground) -> Result<(), String> {
    let shapes = shapes::usual();
    let weir = Weir::start(&wanted.program, ground, &shapes).await?;
    let bare = Bare::start().await?;
    let handler = load::run(&bare.request(), 16, wanted.time).await?;
    let one_commit = commits::run(ground, 1, wanted.time).await?;
    let commits = commits::run(ground, 16, wanted.time).await?;
    let registry = registry()?;
    println!("shapes, on {ground}; bare handler at 16 {}; bare commits at 16 {}", shown(&handler), shown(&commits));
    println!(
        "{:>36} {:>24} {:>24} {:>24} {:>9} {:>12} {:>12}",
        "", "engine alone, 16 at once", "1 connection", "16 connections", "bare/run", "commits/run", "p50/commit"
    );
    let figures = "per s   p50   p99 ms";
    println!("{:>36} {figures:>24} {figures:>24} {figures:>24} {:>9} {:>12} {:>12}", "", "(16)", "(16)", "(1)");
    for shape in shapes {
        let named = |error: String| format!("{}: {error}", shape.name);
        let request = weir.request(&shape.name, shape.body);
        let engine = Ready::new(&shape, &registry)?.load(16, wanted.time / 2).await.map_err(named)?;
        let alone = load::run(&request, 1, wanted.time).await.map_err(named)?;
        let together = load::run(&request, 16, wanted.time).await.map_err(named)?;
        println!(
            "{:>36} {:>24} {:>24} {:>24} {:>9.2} {:>12.2} {:>12.1}",
            shape.about,
            shown(&engine),
            shown(&alone),
            shown(&together),
            handler.rate() / together.rate(),
            commits.rate() / together.rate(),
            alone.percentile_ms(0.50) / one_commit.percentile_ms(0.50),
        );
    }
    println!();
    Ok(())
}
