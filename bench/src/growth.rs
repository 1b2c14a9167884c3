//! What a step costs as a run grows: a chain and a diamond of the same steps, in microseconds a step. A run of n steps is
//! to cost n times a step, so the column is to stay level; the last one says how far it does not.
use crate::engine_alone::{Ready, registry};
use crate::ground::Ground;
use crate::program::Weir;
use crate::shapes::{self, Shape};
use crate::{Wanted, commits, load};

pub(crate) async fn table(wanted: &Wanted, ground: Ground) -> Result<(), String> {
    let (chains, diamonds) = shapes::growing();
    let all: Vec<Shape> = chains.iter().chain(&diamonds).cloned().collect();
    let weir = Weir::start(&wanted.program, ground, &all).await?;
    let commit = commits::run(ground, 1, wanted.time).await?.percentile_ms(0.50);
    println!("cost of a step as a run grows, on {ground}; one bare commit takes {:.0} us", commit * 1_000.0);
    println!(
        "{:>36} {:>18} {:>18} {:>16} {:>22}",
        "", "engine alone, us", "durable, us", "commits a step", "durable, to 10 steps"
    );
    for shapes in [chains, diamonds] {
        let mut yardstick = None;
        for shape in shapes {
            let steps = steps(&shape)?;
            let named = |error: String| format!("{}: {error}", shape.name);
            let engine = Ready::new(&shape, &registry()?)?.load(1, wanted.time / 2).await.map_err(named)?;
            let durable = load::run(&weir.request(&shape.name, shape.body), 1, wanted.time).await.map_err(named)?;
            let (engine, durable) = (engine.percentile_ms(0.50) / steps, durable.percentile_ms(0.50) / steps);
            if yardstick.is_none() && steps >= 10.0 {
                yardstick = Some(durable);
            }
            println!(
                "{:>36} {:>18.1} {:>18.1} {:>16.2} {:>22.2}",
                shape.about,
                engine * 1_000.0,
                durable * 1_000.0,
                durable / commit,
                yardstick.map_or(f64::NAN, |ten| durable / ten),
            );
        }
    }
    println!();
    Ok(())
}

/// A chain is as long as its name says; a diamond has a step before and one behind.
fn steps(shape: &Shape) -> Result<f64, String> {
    let (kind, number) = shape.name.split_once('_').ok_or("a shape is named by its size")?;
    let number: f64 = number.parse().map_err(|_| format!("`{number}` is no size"))?;
    Ok(if kind == "diamond" { number + 2.0 } else { number })
}
