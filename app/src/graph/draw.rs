//! How a flow looks: boxes with the executor's sign, arrows, groups; each box leads to its lines in the YAML.

use domain::wire::{GraphEdge, GraphNode};
use leptos::prelude::*;

use super::layout::{Layout, Measures, Place, layout};
use crate::components::svg::Svg;
use crate::icon::Icon;

const MEASURES: Measures = Measures { width: 216, height: 56, gap_x: 28, gap_y: 56, margin: 28 };
/// From this width on the drawing shrinks with its box.
const BROAD: i32 = 576;
/// Letters that fit beside the sign.
const NAME_LETTERS: usize = 22;

/// The sign of an executor.
pub(crate) fn executor_icon(executor: &str) -> Icon {
    match executor {
        "file_analyzer" => Icon::FileSearch,
        "document_extractor" | "document_pipeline" => Icon::FileText,
        "ocr_processor" => Icon::ScanText,
        "llm_analyzer" => Icon::Sparkles,
        "text_analyzer" | "text_classifier" => Icon::TextSearch,
        "data_combiner" => Icon::Combine,
        "data_transformer" => Icon::Shuffle,
        "flow_executor" | "flow_pipeline" | "flow_router" => Icon::Workflow,
        "api_request" | "webhook" => Icon::Globe,
        "wait" => Icon::Hourglass,
        _ => Icon::Box,
    }
}

/// The drawing and, for those who cannot use it, the same as a list. `yaml` is the address of the flow's text.
pub(crate) fn flow_graph(nodes: &[GraphNode], edges: &[GraphEdge], yaml: &str) -> AnyView {
    let drawn = draw(nodes, edges, yaml);
    let rows: Vec<(String, String, String)> = nodes
        .iter()
        .map(|node| {
            let after: Vec<&str> =
                edges.iter().filter(|edge| edge.to == node.name).map(|edge| edge.from.as_str()).collect();
            (node.name.clone(), node.executor.clone(), after.join(", "))
        })
        .collect();
    view! {
        <div class="graph-wrap flush" tabindex="0" role="group" aria-label="Graph of the steps" inner_html=drawn></div>
        <footer>
            <details class="disclosure">
                <summary>{Icon::ChevronRight.view()}"Show as a list"</summary>
                <ol class="step-list">
                    {rows.into_iter().map(|(name, executor, after)| view! {
                        <li>
                            <strong>{name}</strong>", "{executor}
                            {(!after.is_empty()).then(|| format!(", after {after}"))}
                        </li>
                    }).collect_view()}
                </ol>
            </details>
        </footer>
    }
    .into_any()
}

/// A box that arrows can start from and end at: a step or a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Area {
    left: i32,
    top: i32,
    right: i32,
    bottom: i32,
}

/// What an arrow ties: steps by index, groups by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End<'a> {
    Step(usize),
    Group(&'a str),
}

fn draw(nodes: &[GraphNode], edges: &[GraphEdge], yaml: &str) -> String {
    let pairs = pairs(nodes, edges);
    let ends: Vec<(usize, usize)> = pairs.iter().map(|&(from, to, _)| (from, to)).collect();
    let laid = layout(nodes.len(), &ends, MEASURES);
    let arrows = gathered(nodes, &pairs);
    let class = if laid.width > BROAD { "graph broad" } else { "graph" };
    let mut svg = Svg::new(laid.width, laid.height, class);
    for name in group_names(nodes) {
        if let Some(area) = group_area(nodes, &laid, name) {
            svg.rect(area.left, area.top, area.right - area.left, area.bottom - area.top, 12, "group");
            svg.text(&[("class", &"group-name"), ("x", &(area.left + 12)), ("y", &(area.top + 15))], name);
        }
    }
    let area = |end: End<'_>| match end {
        End::Step(index) => Some(step_area(laid.places[index])),
        End::Group(name) => group_area(nodes, &laid, name),
    };
    for &(from, to, order) in &arrows {
        if let (Some(from), Some(to)) = (area(from), area(to)) {
            arrow(&mut svg, from, to, order);
        }
    }
    for (node, &place) in nodes.iter().zip(&laid.places) {
        step(&mut svg, node, place, yaml);
    }
    svg.labelled(&format!("{} steps and {} connections", nodes.len(), arrows.len())).finish().replacen(
        "role=\"img\"",
        // An image would hide the links inside.
        "role=\"group\"",
        1,
    )
}

/// Arrows between steps; one that starts or ends at a group stands for all of its members.
fn pairs(nodes: &[GraphNode], edges: &[GraphEdge]) -> Vec<(usize, usize, bool)> {
    let members = |name: &str| -> Vec<usize> {
        nodes.iter().position(|node| node.name == name).map_or_else(
            || (0..nodes.len()).filter(|&at| nodes[at].group.as_deref() == Some(name)).collect(),
            |at| vec![at],
        )
    };
    let mut found: Vec<(usize, usize, bool)> = Vec::new();
    for edge in edges {
        for &from in &members(&edge.from) {
            for &to in &members(&edge.to) {
                if !found.iter().any(|&(a, b, _)| (a, b) == (from, to)) {
                    found.push((from, to, edge.kind == "order"));
                }
            }
        }
    }
    found
}

/// Where every member of a group has the same arrow, one arrow at the group says the same with less ink.
fn gathered<'a>(nodes: &'a [GraphNode], pairs: &[(usize, usize, bool)]) -> Vec<(End<'a>, End<'a>, bool)> {
    let mut arrows: Vec<(End<'a>, End<'a>, bool)> =
        pairs.iter().map(|&(from, to, order)| (End::Step(from), End::Step(to), order)).collect();
    for name in group_names(nodes) {
        let members: Vec<usize> = (0..nodes.len()).filter(|&at| nodes[at].group.as_deref() == Some(name)).collect();
        if members.len() < 2 {
            continue;
        }
        for inward in [true, false] {
            let split = |&(from, to, order): &(End<'a>, End<'a>, bool)| {
                if inward { (from, to, order) } else { (to, from, order) }
            };
            let outer: Vec<(End<'a>, bool)> = arrows
                .iter()
                .map(split)
                .filter(|&(_, near, _)| near == End::Step(members[0]))
                .map(|(far, _, order)| (far, order))
                .collect();
            for (far, order) in outer {
                let shared = members.iter().all(|&member| {
                    arrows.iter().map(split).any(|(other, near, _)| other == far && near == End::Step(member))
                });
                let inside = matches!(far, End::Step(index) if members.contains(&index));
                if shared && !inside {
                    arrows.retain(|arrow| {
                        let (other, near, _) = split(arrow);
                        !(other == far && matches!(near, End::Step(index) if members.contains(&index)))
                    });
                    let group = End::Group(name);
                    arrows.push(if inward { (far, group, order) } else { (group, far, order) });
                }
            }
        }
    }
    arrows
}

fn group_names(nodes: &[GraphNode]) -> Vec<&str> {
    let mut names: Vec<&str> = nodes.iter().filter_map(|node| node.group.as_deref()).collect();
    names.dedup();
    names
}

fn step_area(place: Place) -> Area {
    Area { left: place.x, top: place.y, right: place.x + MEASURES.width, bottom: place.y + MEASURES.height }
}

/// The box around a group's members, with room for its name.
fn group_area(nodes: &[GraphNode], laid: &Layout, name: &str) -> Option<Area> {
    let inside = || {
        nodes
            .iter()
            .zip(&laid.places)
            .filter(|(node, _)| node.group.as_deref() == Some(name))
            .map(|(_, &place)| step_area(place))
    };
    Some(Area {
        left: inside().map(|area| area.left).min()? - 14,
        top: inside().map(|area| area.top).min()? - 22,
        right: inside().map(|area| area.right).max()? + 14,
        bottom: inside().map(|area| area.bottom).max()? + 14,
    })
}

fn arrow(svg: &mut Svg, from: Area, to: Area, order: bool) {
    let (x1, y1) = (from.left.midpoint(from.right), from.bottom);
    let (x2, y2) = (to.left.midpoint(to.right), to.top - 6);
    let bend = ((y2 - y1) / 2).max(12);
    let way = format!("M{x1} {y1}C{x1} {} {x2} {} {x2} {y2}", y1 + bend, y2 - bend);
    svg.element("path", &[("class", &if order { "edge order" } else { "edge" }), ("d", &way)]);
    let tip = format!("M{} {}l4 6 4-6z", x2 - 4, y2 - 1);
    svg.element("path", &[("class", &"head"), ("d", &tip)]);
}

fn step(svg: &mut Svg, node: &GraphNode, place: Place, yaml: &str) {
    let Place { x, y } = place;
    svg.start("a", &[("class", &"node"), ("href", &format!("{yaml}#L{}", node.line))]);
    let condition = node.condition.as_deref().map(|text| format!("\nOnly if {text}")).unwrap_or_default();
    svg.tip(&format!("{} ({}), line {}{condition}", node.name, node.executor, node.line));
    svg.rect(x, y, MEASURES.width, MEASURES.height, 10, "box");
    svg.rect(x + 12, y + 12, 32, 32, 8, "chip-ground");
    svg.start(
        "svg",
        &[
            ("class", &"glyph"),
            ("x", &(x + 20)),
            ("y", &(y + 20)),
            ("width", &16),
            ("height", &16),
            ("viewBox", &"0 0 24 24"),
            ("fill", &"none"),
            ("stroke", &"currentColor"),
            ("stroke-width", &2),
            ("stroke-linecap", &"round"),
            ("stroke-linejoin", &"round"),
        ],
    );
    svg.own(executor_icon(&node.executor).shapes());
    svg.end("svg");
    svg.text(&[("class", &"name"), ("x", &(x + 56)), ("y", &(y + 25))], &cut(&node.name));
    svg.text(&[("class", &"kind"), ("x", &(x + 56)), ("y", &(y + 42))], &cut(&node.executor));
    if node.condition.is_some() {
        svg.rect(x + MEASURES.width - 30, y - 9, 22, 18, 9, "mark");
        svg.text(
            &[("class", &"mark-text"), ("x", &(x + MEASURES.width - 19)), ("y", &(y + 4)), ("text-anchor", &"middle")],
            "if",
        );
    }
    svg.end("a");
}

fn cut(name: &str) -> String {
    if name.chars().count() <= NAME_LETTERS {
        return name.to_owned();
    }
    let mut out: String = name.chars().take(NAME_LETTERS - 1).collect();
    out.push('…');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, group: Option<&str>) -> GraphNode {
        GraphNode {
            name: name.into(),
            executor: "llm_analyzer".into(),
            group: group.map(str::to_owned),
            condition: None,
            line: 3,
        }
    }

    #[test]
    fn what_all_members_of_a_group_share_is_one_arrow_at_the_group() {
        let nodes = [node("a", None), node("b", Some("g")), node("c", Some("g")), node("d", None)];
        let edges = [
            GraphEdge { from: "a".into(), to: "b".into(), kind: "order".into() },
            GraphEdge { from: "a".into(), to: "c".into(), kind: "order".into() },
            GraphEdge { from: "g".into(), to: "d".into(), kind: "declared".into() },
            GraphEdge { from: "b".into(), to: "d".into(), kind: "read".into() },
        ];
        assert_eq!(pairs(&nodes, &edges).len(), 4);
        let drawn = draw(&nodes, &edges, "/t/x/flows/y/yaml");
        assert!(drawn.contains("4 steps and 2 connections"));
        assert_eq!(drawn.matches("class=\"group\"").count(), 1);
        assert!(drawn.contains("href=\"/t/x/flows/y/yaml#L3\""));
    }
}
