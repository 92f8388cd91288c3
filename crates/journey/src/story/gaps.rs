//! What a story lacks, and whether it may still be on its way.

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
        /// The services that name it, in the story's order.
        named_by: Vec<String>,
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
        let gap = |(index, node): (usize, &Node)| match &node.span {
            None if self.is_caller(index) => Some(Gap::Caller(node.id)),
            None => Some(Gap::Span { id: node.id, named_by: self.named_by(node) }),
            Some(_) if node.is_cut => Some(Gap::Circle(node.id)),
            Some(_) => None,
        };
        self.nodes.iter().enumerate().filter_map(gap).collect()
    }

    /// Whether the missing node at `index` may be somebody's who called us: the whole story hangs on it, and one request
    /// came in by it.
    pub fn is_caller(&self, index: usize) -> bool {
        let node = &self.nodes[index];
        let enters = |child: &usize| self.nodes[*child].span.as_ref().is_some_and(Span::enters);
        let may_call = node.span.is_none()
            && node.lines.is_empty()
            && matches!(&*node.children, [child] if enters(child));
        // The first node is a top; it is the only one if all others hang on something.
        index == 0 && may_call && self.nodes[1..].iter().all(|node| node.parent.is_some())
    }

    /// The services that name a missing node.
    pub fn named_by(&self, node: &Node) -> Vec<String> {
        let of_children = node.children.iter().filter_map(|child| self.nodes[*child].span.as_ref());
        let mut services: Vec<String> = node.lines.iter().map(|line| line.service.clone()).collect();
        services.extend(of_children.map(|span| span.service.clone()));
        services.sort_unstable();
        services.dedup();
        services
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
