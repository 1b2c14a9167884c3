//! How a flow looks: boxes with the executor's sign, arrows, groups; each box leads to its lines in the YAML.

use domain::wire::{GraphEdge, GraphNode};
use leptos::prelude::*;

use super::layout::{Layout, Measures, Place, layout};
use crate::components::Icon;
use crate::components::svg::Svg;

const MEASURES: Measures = Measures { width: 216, height: 56, gap_x: 28, gap_y: 44, margin: 28 };
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

fn draw(nodes: &[GraphNode], edges: &[GraphEdge], yaml: &str) -> String {
    let index = |name: &str| nodes.iter().position(|node| node.name == name);
    // An arrow that starts or ends at a group stands for all of its members.
    let members = |name: &str| -> Vec<usize> {
        index(name).map_or_else(
            || (0..nodes.len()).filter(|&at| nodes[at].group.as_deref() == Some(name)).collect(),
            |at| vec![at],
        )
    };
    let mut arrows: Vec<(usize, usize, bool)> = Vec::new();
    for edge in edges {
        for &from in &members(&edge.from) {
            for &to in &members(&edge.to) {
                if !arrows.iter().any(|&(a, b, _)| (a, b) == (from, to)) {
                    arrows.push((from, to, edge.kind == "order"));
                }
            }
        }
    }
    let pairs: Vec<(usize, usize)> = arrows.iter().map(|&(from, to, _)| (from, to)).collect();
    let laid = layout(nodes.len(), &pairs, MEASURES);
    let mut svg = Svg::new(laid.width, laid.height, "graph");
    groups(&mut svg, nodes, &laid);
    for &(from, to, order) in &arrows {
        arrow(&mut svg, laid.places[from], laid.places[to], order);
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

fn groups(svg: &mut Svg, nodes: &[GraphNode], laid: &Layout) {
    let mut names: Vec<&str> = nodes.iter().filter_map(|node| node.group.as_deref()).collect();
    names.dedup();
    for name in names {
        let inside: Vec<Place> = nodes
            .iter()
            .zip(&laid.places)
            .filter(|(node, _)| node.group.as_deref() == Some(name))
            .map(|(_, &place)| place)
            .collect();
        let (Some(left), Some(top), Some(right), Some(bottom)) = (
            inside.iter().map(|place| place.x).min(),
            inside.iter().map(|place| place.y).min(),
            inside.iter().map(|place| place.x + MEASURES.width).max(),
            inside.iter().map(|place| place.y + MEASURES.height).max(),
        ) else {
            continue;
        };
        svg.rect(left - 14, top - 20, right - left + 28, bottom - top + 32, 12, "group");
        svg.text(&[("class", &"group-name"), ("x", &(left - 4)), ("y", &(top - 7))], name);
    }
}

fn arrow(svg: &mut Svg, from: Place, to: Place, order: bool) {
    let (x1, y1) = (from.x + MEASURES.width / 2, from.y + MEASURES.height);
    let (x2, y2) = (to.x + MEASURES.width / 2, to.y - 6);
    let bend = ((y2 - y1) / 2).max(16);
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
    fn an_arrow_at_a_group_stands_for_its_members() {
        let nodes = [node("a", None), node("b", Some("g")), node("c", Some("g")), node("d", None)];
        let edges = [
            GraphEdge { from: "a".into(), to: "g".into(), kind: "order".into() },
            GraphEdge { from: "g".into(), to: "d".into(), kind: "declared".into() },
        ];
        let drawn = draw(&nodes, &edges, "/t/x/flows/y/yaml");
        assert!(drawn.contains("4 steps and 4 connections"));
        assert_eq!(drawn.matches("class=\"group\"").count(), 1);
        assert!(drawn.contains("href=\"/t/x/flows/y/yaml#L3\""));
    }
}
