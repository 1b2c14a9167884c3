//! Where the steps of a flow stand: layers from top to bottom by their longest way from a start, and within a layer an
//! order with few crossings.
//!
//! Invariant: pure and stable. The same steps and arrows always give the same drawing, and an edge to an unknown step or
//! a cycle (which a checked flow has not) never stops it.

/// A step's box, in units of the drawing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) x: i32,
    pub(super) y: i32,
}

/// The measures of a drawing.
#[derive(Debug, Clone, Copy)]
pub(super) struct Measures {
    pub(super) width: i32,
    pub(super) height: i32,
    pub(super) gap_x: i32,
    pub(super) gap_y: i32,
    pub(super) margin: i32,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// In the order of the steps given.
    pub(super) places: Vec<Place>,
    pub(super) width: i32,
    pub(super) height: i32,
}

/// Passes over the layers; more change nothing that an eye would see.
const SWEEPS: usize = 4;

/// Lays out `count` steps with arrows between their indices.
pub(super) fn layout(count: usize, edges: &[(usize, usize)], measures: Measures) -> Layout {
    let edges: Vec<(usize, usize)> =
        edges.iter().copied().filter(|&(from, to)| from < count && to < count && from != to).collect();
    let layer_of = layers(count, &edges);
    let depth = layer_of.iter().max().map_or(0, |deepest| deepest + 1);
    let mut rows: Vec<Vec<usize>> = vec![Vec::new(); depth];
    for (step, &layer) in layer_of.iter().enumerate() {
        rows[layer].push(step);
    }
    for sweep in 0..SWEEPS {
        if sweep % 2 == 0 {
            for layer in 1..depth {
                order_by_neighbours(&mut rows, layer, &edges, true);
            }
        } else {
            for layer in (0..depth.saturating_sub(1)).rev() {
                order_by_neighbours(&mut rows, layer, &edges, false);
            }
        }
    }
    place(count, &rows, measures)
}

/// The longest way from a start to each step. A cycle's remainder goes below everything else, one layer each.
fn layers(count: usize, edges: &[(usize, usize)]) -> Vec<usize> {
    let mut open = vec![0_usize; count];
    for &(_, to) in edges {
        open[to] += 1;
    }
    let mut layer = vec![0_usize; count];
    let mut done = vec![false; count];
    let mut ready: Vec<usize> = (0..count).filter(|&step| open[step] == 0).collect();
    while let Some(step) = ready.pop() {
        done[step] = true;
        for &(_, to) in edges.iter().filter(|&&(from, _)| from == step) {
            layer[to] = layer[to].max(layer[step] + 1);
            open[to] -= 1;
            if open[to] == 0 {
                ready.push(to);
            }
        }
    }
    let below = (0..count).filter(|&step| done[step]).map(|step| layer[step] + 1).max().unwrap_or(0);
    for (down, step) in (0..count).filter(|&step| !done[step]).enumerate() {
        layer[step] = below + down;
    }
    layer
}

/// Sorts one layer by the mean place of its neighbours above or below; steps without any keep theirs.
fn order_by_neighbours(rows: &mut [Vec<usize>], layer: usize, edges: &[(usize, usize)], above: bool) {
    let other = if above { layer - 1 } else { layer + 1 };
    let place_in_other = |step: usize| rows[other].iter().position(|&there| there == step);
    let wide = rows[layer].len().max(1);
    let mut keyed: Vec<(usize, usize)> = rows[layer]
        .iter()
        .enumerate()
        .map(|(index, &step)| {
            let near: Vec<usize> = edges
                .iter()
                .filter_map(|&(from, to)| match above {
                    true if to == step => place_in_other(from),
                    false if from == step => place_in_other(to),
                    _ => None,
                })
                .collect();
            // In thousandths of the row, so that rows of different widths compare.
            let key = if near.is_empty() {
                index * 1000 / wide
            } else {
                near.iter().sum::<usize>() * 1000 / (near.len() * rows[other].len().max(1))
            };
            (key, step)
        })
        .collect();
    keyed.sort_by_key(|&(key, _)| key);
    rows[layer] = keyed.into_iter().map(|(_, step)| step).collect();
}

fn place(count: usize, rows: &[Vec<usize>], measures: Measures) -> Layout {
    let across = |steps: usize| -> i32 {
        let steps = i32::try_from(steps).unwrap_or(i32::MAX / 4096);
        steps * measures.width + (steps - 1).max(0) * measures.gap_x
    };
    let widest = rows.iter().map(|row| across(row.len())).max().unwrap_or(measures.width);
    let mut places = vec![Place { x: 0, y: 0 }; count];
    let mut y = measures.margin;
    for row in rows {
        let mut x = measures.margin + (widest - across(row.len())) / 2;
        for &step in row {
            places[step] = Place { x, y };
            x += measures.width + measures.gap_x;
        }
        y += measures.height + measures.gap_y;
    }
    let height = if rows.is_empty() { 2 * measures.margin } else { y - measures.gap_y + measures.margin };
    Layout { places, width: widest + 2 * measures.margin, height }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEASURES: Measures = Measures { width: 100, height: 40, gap_x: 20, gap_y: 30, margin: 10 };

    #[test]
    fn a_step_stands_below_everything_it_depends_on() {
        let edges = [(0, 1), (1, 3), (0, 3), (0, 2), (2, 3)];
        let drawn = layout(4, &edges, MEASURES);
        for (from, to) in edges {
            assert!(drawn.places[from].y < drawn.places[to].y, "{from} -> {to}");
        }
        assert_eq!(drawn.places[1].y, drawn.places[2].y);
    }

    #[test]
    fn no_two_steps_stand_in_the_same_place() {
        let drawn = layout(6, &[(0, 1), (0, 2), (0, 3), (1, 4), (2, 4), (3, 5)], MEASURES);
        for (index, place) in drawn.places.iter().enumerate() {
            assert!(!drawn.places[index + 1..].contains(place));
            assert!(place.x >= 10 && place.x + 100 <= drawn.width - 10);
            assert!(place.y >= 10 && place.y + 40 <= drawn.height - 10);
        }
    }

    #[test]
    fn followers_stand_on_the_side_of_what_they_follow() {
        // 0 and 1 are starts; 2 follows 1, 3 follows 0: without ordering the arrows would cross.
        let drawn = layout(4, &[(1, 2), (0, 3)], MEASURES);
        assert!((drawn.places[0].x < drawn.places[1].x) == (drawn.places[3].x < drawn.places[2].x));
    }

    #[test]
    fn cycles_and_unknown_steps_do_not_stop_the_drawing() {
        let drawn = layout(3, &[(0, 1), (1, 0), (2, 9), (2, 2)], MEASURES);
        assert_eq!(drawn.places.len(), 3);
        assert_eq!(layout(0, &[], MEASURES).places.len(), 0);
    }
}
