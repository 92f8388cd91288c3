//! What a story lacks, and whether it may still be on its way.

use std::collections::{BTreeSet, HashSet};

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
        /// The service that should have written it, as far as that can be told.
        by: Option<Writer>,
        /// The service of the call whose other end it may be: a guess by the times.
        called_by: Option<String>,
    },
    /// Parents that run in a circle, cut at this span.
    Circle(SpanId),
    /// No span at all: lines only.
    Spans,
}

/// Who should have written a span.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Writer {
    /// The service whose lines were written in it.
    Certain(String),
    /// The service whose own spans hang on it, or the only one that has lines in the story and no span.
    Presumed(String),
}

impl Writer {
    /// The service's name.
    pub fn service(&self) -> &str {
        match self {
            Self::Certain(service) | Self::Presumed(service) => service,
        }
    }
}

impl Gap {
    /// In words; names from the data are as they are, for whoever prints them to escape.
    pub fn words(&self) -> String {
        match self {
            Self::Caller(id) => {
                format!("span {id} is not in these files: the caller's own, or never written")
            }
            Self::Circle(id) => format!("span {id} is its own ancestor; the circle is cut there"),
            Self::Spans => "no span of this trace was written: not sampled, or lost".to_owned(),
            Self::Span { id, parent_of, lines_of, by, called_by } => {
                let whose = match by {
                    Some(Writer::Certain(service)) => format!(" of {service}"),
                    Some(Writer::Presumed(service)) => format!(", presumably of {service},"),
                    None => String::new(),
                };
                let writer = by.as_ref().map(Writer::service);
                let beneath: Vec<&str> =
                    parent_of.iter().map(|name| &**name).filter(|name| Some(*name) != writer).collect();
                let stands = match (called_by, beneath.as_slice()) {
                    (Some(caller), []) => format!(" that should stand beneath {caller}"),
                    (Some(caller), beneath) => {
                        format!(" that should stand between {caller} and {}", beneath.join(" and "))
                    }
                    (None, []) => String::new(),
                    (None, beneath) => format!(" that should stand above {}", beneath.join(" and ")),
                };
                let with_lines = if lines_of.is_empty() { "" } else { ", though lines in it were" };
                format!("the span{whose}{stands} was never written{with_lines} ({id})")
            }
        }
    }
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

    /// What is known of the node at `index`, which was never written.
    fn missing(&self, index: usize) -> Gap {
        let node = &self.nodes[index];
        let children = || node.children.iter().filter_map(|child| self.nodes[*child].span.as_ref());
        let parent_of: BTreeSet<&str> =
            children().map(|span| &*span.service).filter(|name| !name.is_empty()).collect();
        let lines_of: BTreeSet<&str> =
            node.lines.iter().map(|line| &*line.service).filter(|name| !name.is_empty()).collect();
        // What does not enter a service was caused within it.
        let within: BTreeSet<&str> =
            children().filter(|span| !span.enters()).map(|span| &*span.service).collect();
        let only = |names: &BTreeSet<&str>| match names.len() {
            1 => names.first().map(|name| (*name).to_owned()).filter(|name| !name.is_empty()),
            _ => None,
        };
        let by = only(&lines_of).map(Writer::Certain).or_else(|| only(&within).map(Writer::Presumed));
        let silent = || {
            only(&self.silent.iter().map(|name| &**name).collect())
                .filter(|_| !parent_of.is_empty())
                .map(Writer::Presumed)
        };
        let call = self.caller_of(index).and_then(|call| self.nodes[call].span.as_ref());
        Gap::Span {
            id: node.id,
            by: by.or_else(silent),
            called_by: call.map(|span| span.service.clone()).filter(|name| !name.is_empty()),
            parent_of: parent_of.into_iter().map(str::to_owned).collect(),
            lines_of: lines_of.into_iter().map(str::to_owned).collect(),
        }
    }

    /// The services that have lines and no span; more than two of them tell no more than two.
    pub(super) fn silent_services(&self) -> BTreeSet<String> {
        let with_spans: HashSet<&str> = self.spans().map(|span| &*span.service).collect();
        let silent = self.lines().map(|line| &*line.service);
        let silent = silent.filter(|name| !name.is_empty() && !with_spans.contains(name));
        silent.collect::<BTreeSet<_>>().into_iter().take(2).map(str::to_owned).collect()
    }

    /// What is missing at the node at `index`, if something is.
    pub fn gap(&self, index: usize) -> Option<Gap> {
        let node = &self.nodes[index];
        match &node.span {
            None if self.is_caller(index) => Some(Gap::Caller(node.id)),
            None => Some(self.missing(index)),
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
