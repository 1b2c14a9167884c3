//! Suite: whatever is killed, stopped or restarted while runs go on, nothing that was acknowledged is lost, nothing that
//! was settled runs again, and the outside world sees each effect once. `WEIR_SUITE_SIZE` chooses how long each storm lasts.
use std::path::Path;
use tests::{ApiKey, Cluster, Down, Running, Store, Storm, World};

const WORKERS: usize = 3;

/// Another process than the suite, so that it goes on whatever happens to the program.
fn counter() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_effect-counter"))
}

/// A server that runs nothing itself.
async fn desk(mut world: World) -> (World, ApiKey) {
    world.serve_with(&["--no-workers"]).await;
    let key = world.tenant("acme").await.key(&[]).await;
    (world, key)
}

async fn workers(world: &World, count: usize) -> Vec<Running> {
    let mut workers = Vec::new();
    for _ in 0..count {
        workers.push(world.worker().await);
    }
    workers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_killed_at_random_lose_nothing_and_repeat_nothing() {
    let (world, key) = desk(World::prepare(Store::Postgres).await).await;
    let mut workers = workers(&world, WORKERS).await;
    let mut storm = Storm::begin("workers killed", &world, &key, counter()).await;
    while storm.next_fault(2_500..=6_000).await {
        let victim = storm.chance.index(workers.len());
        workers.swap_remove(victim).kill().await;
        workers.push(world.worker().await);
    }
    let report = storm.calm().await;
    assert!(report.taken_over() > 0, "a kill hit something: {report}");
    println!("{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_embedded_server_killed_at_random_loses_nothing_and_repeats_nothing() {
    let mut world = World::start(Store::Sqlite).await;
    let key = world.tenant("acme").await.key(&[]).await;
    let mut storm = Storm::begin("server killed", &world, &key, counter()).await;
    while storm.next_fault(3_500..=7_000).await {
        storm.nobody_serves();
        world.kill().await;
        world.serve().await;
        storm.served_again(&world.url());
    }
    let report = storm.calm().await;
    assert!(report.taken_over() > 0, "a kill hit something: {report}");
    println!("{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_was_stopped_past_its_lease_writes_nothing_when_it_goes_on() {
    let (world, key) = desk(World::prepare(Store::Postgres).await).await;
    let workers = workers(&world, WORKERS).await;
    let mut storm = Storm::begin("workers stopped", &world, &key, counter()).await;
    while storm.next_fault(2_000..=4_000).await {
        let stopped = &workers[storm.chance.index(workers.len())];
        stopped.halt().await;
        storm.until_taken_from(stopped.pid()).await;
        stopped.proceed().await;
    }
    let report = storm.calm().await;
    let refused: usize =
        workers.iter().map(|worker| worker.log().matches("another worker has this run now").count()).sum();
    assert!(refused > 0, "a worker that went on tried to write what another had: {report}");
    println!("{report}; {refused} stale holders refused");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restarts_of_postgresql_lose_nothing_and_repeat_nothing() {
    let cluster = Cluster::start().await;
    let (world, key) = desk(World::prepare_in(&cluster).await).await;
    let _workers = workers(&world, WORKERS).await;
    let mut storm = Storm::begin("PostgreSQL restarted", &world, &key, counter()).await;
    while storm.next_fault(2_500..=6_000).await {
        let down = if storm.chance.below(2) == 0 { Down::Fast } else { Down::Crash };
        storm.nobody_serves();
        cluster.stop(down).await;
        cluster.start_again().await;
        storm.served_again(&world.url());
    }
    let report = storm.calm().await;
    assert!(report.faults() > 0, "PostgreSQL was restarted: {report}");
    println!("{report}");
}
