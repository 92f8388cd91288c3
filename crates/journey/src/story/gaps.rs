//! What a story lacks, and whether it may still be on its way.

use std::collections::BTreeSet;

use crate::id::SpanId;
use crate::names;
use crate::span::{Kind, Span};
use crate::story::{Node, Story};

/// Something that is not in the files that were read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gap {
    /// The span that called the first one: somebody's own who called us, or one that was never written. Which of the two
    /// the files cannot tell.
    Caller(SpanId),
    /// A span that others name as their parent, or that lines were written in.
    Span {
        /// Its id.
        id: SpanId,
        /// The services whose spans name it as their parent.
        parent_of: Vec<String>,
        /// The services whose lines were written in it.
        lines_of: Vec<String>,
    },
    /// Parents that run in a circle, cut at this span.
    Circle(SpanId),
    /// No span at all: lines only.
    Spans,
}

impl Story {
    /// Everything that is missing, in the story's order.
    pub fn gaps(&self) -> Vec<Gap> {
        if self.spans().next().is_none() {
            return vec![Gap::Spans];
        }
        (0..self.nodes.len()).filter_map(|index| self.gap(index)).collect()
    }

    /// Whether the missing node at `index` may be somebody's who called us: the whole story hangs on it, and one request
    /// came in by it.
    fn is_caller(&self, index: usize) -> bool {
        let node = &self.nodes[index];
        let enters = |child: &usize| self.nodes[*child].span.as_ref().is_some_and(Span::enters);
        let may_call = node.span.is_none()
            && node.lines.is_empty()
            && matches!(&*node.children, [child] if enters(child));
        // The first node is a top; it is the only one if all others hang on something.
        index == 0 && may_call && self.nodes[1..].iter().all(|node| node.parent.is_some())
    }

    /// What is known of a node that was never written.
    fn missing(&self, node: &Node) -> Gap {
        let children = node.children.iter().filter_map(|child| self.nodes[*child].span.as_ref());
        Gap::Span {
            id: node.id,
            parent_of: children
                .map(|span| span.service.clone())
                .collect::<BTreeSet<_>>()
                .into_iter()
                .collect(),
            lines_of: node
                .lines
                .iter()
                .map(|line| line.service.clone())
                .collect::<BTreeSet<_>>()
                .into_iter()
                .collect(),
        }
    }

    /// What is missing at the node at `index`, if something is.
    pub fn gap(&self, index: usize) -> Option<Gap> {
        let node = &self.nodes[index];
        match &node.span {
            None if self.is_caller(index) => Some(Gap::Caller(node.id)),
            None => Some(self.missing(node)),
            Some(_) if node.is_cut => Some(Gap::Circle(node.id)),
            Some(_) => None,
        }
    }

    /// Whether nothing that was asked of a next hop, and no service's lines, can still be on their way.
    pub fn is_answered(&self) -> bool {
        let asks = |span: &Span| {
            span.kind == Kind::Client
                && span.text(names::METHOD).is_some()
                && span.text(names::STATUS).is_some()
        };
        let is_answered = |node: &Node| {
            !node.span.as_ref().is_some_and(asks)
                || node.children.iter().any(|child| self.nodes[*child].span.is_some())
        };
        let entering = || self.nodes.iter().filter(|node| node.span.as_ref().is_some_and(Span::enters));
        let with_lines = entering().filter(|node| !node.lines.is_empty()).count();
        self.nodes.iter().all(is_answered) && (with_lines == 0 || with_lines == entering().count())
    }
}
