//! What a PromQL query names: metrics, the labels that it selects them by, and the labels that it groups by.
//!
//! It reads the grammar's tokens, not patterns in the text: a name within a string is none. Refuses a selector without a
//! metric's name, which nothing could check.

use std::{iter::Peekable, str::Chars};

/// What one query names.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Named {
    /// Each metric with the labels of its matchers, in the query's order.
    pub(crate) selected: Vec<(String, Vec<String>)>,
    /// Labels of `by`, `without`, `on`, `ignoring`, `group_left` and `group_right`.
    pub(crate) grouped: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    Text,
    Number,
    Symbol(char),
}

const GROUPING: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];
const OPERATORS: [&str; 9] = ["and", "or", "unless", "atan2", "bool", "offset", "inf", "nan", "start"];

/// Reads a query. Grafana's variables may stand in strings and ranges, and for whole matchers.
pub(crate) fn named(query: &str) -> Result<Named, String> {
    let mut tokens = tokens(query)?.into_iter().peekable();
    let mut named = Named::default();
    while let Some(token) = tokens.next() {
        match token {
            Token::Word(word) if GROUPING.contains(&word.as_str()) => {
                if tokens.next_if_eq(&Token::Symbol('(')).is_some() {
                    named.grouped.extend(words_until(&mut tokens, ')')?);
                }
            }
            Token::Word(word) if OPERATORS.contains(&word.to_lowercase().as_str()) => {}
            Token::Word(word) => match tokens.peek() {
                Some(Token::Symbol('(')) => {} // A function.
                Some(Token::Word(next)) if GROUPING.contains(&next.as_str()) && is_aggregation(&word) => {}
                _ => {
                    let has_matchers = tokens.next_if_eq(&Token::Symbol('{')).is_some();
                    let labels = if has_matchers { words_until(&mut tokens, '}')? } else { Vec::new() };
                    named.selected.push((word, labels));
                }
            },
            Token::Symbol('[') => {
                words_until(&mut tokens, ']')?;
            }
            Token::Symbol('{') => return Err(format!("a selector without a metric's name: {query}")),
            Token::Text | Token::Number | Token::Symbol(_) => {}
        }
    }
    Ok(named)
}

/// `sum by (job) (…)`, whose name no bracket follows.
fn is_aggregation(word: &str) -> bool {
    let all = "sum min max avg group stddev stdvar count count_values bottomk topk quantile";
    all.split(' ').any(|one| one == word)
}

/// The words up to the closing bracket; variables of Grafana are none of ours.
fn words_until(tokens: &mut impl Iterator<Item = Token>, closing: char) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    for token in tokens {
        match token {
            Token::Symbol(symbol) if symbol == closing => return Ok(words),
            Token::Word(word) if !word.starts_with('$') => words.push(word),
            _ => {}
        }
    }
    Err(format!("no `{closing}`"))
}

fn tokens(query: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut rest = query.chars().peekable();
    while let Some(&first) = rest.peek() {
        match first {
            _ if first.is_whitespace() => {
                rest.next();
            }
            '"' | '\'' | '`' => {
                skip_text(&mut rest).ok_or_else(|| format!("a text without an end: {query}"))?;
                tokens.push(Token::Text);
            }
            '0'..='9' | '.' => {
                take(&mut rest, |one| one.is_ascii_alphanumeric() || one == '.');
                tokens.push(Token::Number);
            }
            'a'..='z' | 'A'..='Z' | '_' | ':' | '$' => {
                let word = take(&mut rest, |one| one.is_ascii_alphanumeric() || "_:$".contains(one));
                tokens.push(Token::Word(word));
            }
            _ => {
                rest.next();
                tokens.push(Token::Symbol(first));
            }
        }
    }
    Ok(tokens)
}

fn take(rest: &mut Peekable<Chars<'_>>, belongs: impl Fn(char) -> bool) -> String {
    std::iter::from_fn(|| rest.next_if(|one| belongs(*one))).collect()
}

fn skip_text(rest: &mut Peekable<Chars<'_>>) -> Option<()> {
    let quote = rest.next()?;
    loop {
        match rest.next()? {
            '\\' if quote != '`' => {
                rest.next()?;
            }
            one if one == quote => return Some(()),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(query: &str, selected: &[(&str, &[&str])], grouped: &[&str]) {
        let owned = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
        let selected =
            selected.iter().map(|(metric, labels)| ((*metric).to_owned(), owned(labels))).collect();
        assert_eq!(named(query), Ok(Named { selected, grouped: owned(grouped) }), "{query}");
    }

    #[test]
    fn metrics_and_labels_are_told_from_everything_else() {
        check("up", &[("up", &[])], &[]);
        check("sum(up)", &[("up", &[])], &[]);
        check("sum(rate(a_total[5m])) by (b, c)", &[("a_total", &[])], &["b", "c"]);
        check(
            "sum by (le) (rate(a_bucket{b=\"c\",d=~'e}'}[$__rate_interval]))",
            &[("a_bucket", &["b", "d"])],
            &["le"],
        );
        check("histogram_quantile(0.95, x{y!~`z\\`})", &[("x", &["y"])], &[]);
        check("a or 0 * b{c=\"or d{e=\\\"f\\\"}\"} offset 5m", &[("a", &[]), ("b", &["c"])], &[]);
        check("a / on (b) group_left (c) d", &[("a", &[]), ("d", &[])], &["b", "c"]);
        check("a / ignoring (b) group_left d{}", &[("a", &[]), ("d", &[])], &["b"]);
        check("topk(10, count by (a) (b > bool 1e3))", &[("b", &[])], &["a"]);
        check("a{b=\"c\",$__tags}[1m]", &[("a", &["b"])], &[]);
        check("sum", &[("sum", &[])], &[]);
        check("job:a:rate5m", &[("job:a:rate5m", &[])], &[]);
    }

    #[test]
    fn what_cannot_be_checked_is_refused() {
        for query in ["{job=\"a\"}", "sum({__name__=~\"a\"})", "a{b=\"c\"", "a{b=\"c", "rate(a[5m"] {
            assert!(named(query).is_err(), "{query}");
        }
    }
}
