//! A map as a drawing: DOT of Graphviz, and Mermaid's flowchart. Names come from anybody: nothing in one can end its label.

use std::collections::BTreeMap;

use crate::escape::visible;
use crate::map::{Calls, Drawn, Edge, Node};
use crate::table::milliseconds;

impl Drawn {
    /// The map in DOT (<https://graphviz.org/doc/info/lang.html>); nothing of an empty one.
    pub fn dot(&self) -> String {
        if self.edges.is_empty() {
            return String::new();
        }
        let nodes = self.nodes();
        let mut text = String::from("digraph calls {\n  rankdir=LR;\n");
        text.push_str("  node [shape=box, style=rounded, fontname=\"sans-serif\"];\n");
        text.push_str("  edge [fontname=\"sans-serif\", fontsize=10];\n");
        for (node, number) in &nodes {
            let shape = match node {
                Node::Service(_) => "",
                Node::Database(_) => ", shape=cylinder, style=solid",
                Node::Queue(_) => ", shape=cds, style=solid",
                Node::Outside | Node::Silent(_) | Node::Others => ", style=\"rounded,dashed\"",
            };
            text.push_str(&format!("  n{number} [label=\"{}\"{shape}];\n", in_dot(node.name())));
        }
        for (edge, calls) in &self.edges {
            let [first, second] = self.label(calls);
            let mut style = String::new();
            if edge.is_async {
                style.push_str(", style=dashed");
            }
            if calls.errors > 0 {
                style.push_str(", color=\"#c02f1d\"");
            }
            let (from, to) = (nodes[&edge.from], nodes[&edge.to]);
            text.push_str(&format!("  n{from} -> n{to} [label=\"{first}\\n{second}\"{style}];\n"));
        }
        text + "}\n"
    }

    /// The map as a flowchart of Mermaid (<https://mermaid.js.org/syntax/flowchart.html>); nothing of an empty one.
    pub fn mermaid(&self) -> String {
        if self.edges.is_empty() {
            return String::new();
        }
        let nodes = self.nodes();
        let mut text = String::from("flowchart LR\n");
        for (node, number) in &nodes {
            let (open, close) = match node {
                Node::Service(_) => ("[", "]"),
                Node::Database(_) => ("[(", ")]"),
                Node::Queue(_) => ("[[", "]]"),
                Node::Outside | Node::Silent(_) | Node::Others => ("([", "])"),
            };
            text.push_str(&format!("  n{number}{open}\"{}\"{close}\n", in_mermaid(node.name())));
        }
        for (edge, calls) in &self.edges {
            let label = self.label(calls).map(|line| in_mermaid(&line)).join("<br/>");
            let arrow = if edge.is_async { "-.->" } else { "-->" };
            text.push_str(&format!("  n{} {arrow}|\"{label}\"| n{}\n", nodes[&edge.from], nodes[&edge.to]));
        }
        text
    }

    /// Every node, numbered in its order.
    fn nodes(&self) -> BTreeMap<&Node, usize> {
        let mut nodes: BTreeMap<&Node, usize> =
            self.edges.iter().flat_map(|(Edge { from, to, .. }, _)| [(from, 0), (to, 0)]).collect();
        nodes.values_mut().zip(0..).for_each(|(at, number)| *at = number);
        nodes
    }

    /// How often and how well, and how fast.
    fn label(&self, calls: &Calls) -> [String; 2] {
        let count = calls.durations.count();
        let rate = calls.per_second(self.seconds).map(|rate| format!(", {rate:.2}/s")).unwrap_or_default();
        let errors = match calls.errors {
            0 => String::new(),
            _ => format!(", {:.1} % errors", calls.error_percent()),
        };
        let quantile = |part| milliseconds(calls.durations.quantile(part).unwrap_or(0));
        [format!("{count}×{rate}{errors}"), format!("p50 {}, p95 {} ms", quantile(0.5), quantile(0.95))]
    }
}

/// Within the quotes of DOT a backslash begins an escape, and a quote ends them.
fn in_dot(text: &str) -> String {
    visible(text).replace('\\', "\\\\").replace('"', "\\\"")
}

/// Within quotes Mermaid reads entities by number, and HTML and Markdown: only what is none of it stays.
fn in_mermaid(text: &str) -> String {
    let mut told = String::new();
    for letter in visible(text).chars() {
        match letter {
            _ if letter.is_alphanumeric() => told.push(letter),
            ' ' | '_' | '.' | ',' | ':' | '-' | '/' | '(' | ')' | '%' | '×' => told.push(letter),
            _ => told.push_str(&format!("#{};", u32::from(letter))),
        }
    }
    told
}
