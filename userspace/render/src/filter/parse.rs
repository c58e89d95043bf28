//! From words to conditions, with the types of both sides checked.

use std::borrow::Cow;

use crate::filter::lex::{Operator, Span, Token, Trouble, tokens};
use crate::filter::{FilterError, MAX_DEPTH, MAX_LEN, Node, Operand, Relation, Value, ValueKind};

/// What knows the columns.
type Columns<'a, C> = dyn Fn(&str) -> Option<(C, ValueKind)> + 'a;

/// Bytes a compiled regular expression may take.
const REGEX_SIZE: usize = 1 << 20;
/// How deep a regular expression may nest.
const REGEX_DEPTH: u32 = 32;

/// Reads an expression.
pub(super) fn parse<C>(text: &str, columns: &Columns<'_, C>) -> Result<Node<C>, FilterError> {
    let error = |(span, message): Trouble| FilterError { text: text.to_owned(), span, message };
    if text.len() > MAX_LEN {
        let message = format!("expression of {} bytes is longer than {MAX_LEN}", text.len());
        return Err(FilterError { text: String::new(), span: Span::default(), message });
    }
    let tokens = tokens(text).map_err(error)?;
    let end = Span { start: text.trim_end().len(), end: text.trim_end().len() };
    let mut parser = Parser { tokens: tokens.into_iter().peekable(), columns, end, depth: 0 };
    let root = parser.any().and_then(Part::condition).map_err(error)?;
    match parser.tokens.next() {
        None => Ok(root),
        Some((span, token)) => Err(error((span, unexpected(&token)))),
    }
}

/// A part of the expression: a condition already, or a value that may be compared.
enum Part<C> {
    Condition(Node<C>, Span),
    Operand(Operand<C>, Span),
}

impl<C> Part<C> {
    fn span(&self) -> Span {
        match self {
            Part::Condition(_, span) | Part::Operand(_, span) => *span,
        }
    }

    /// As a condition; a number or a text is none.
    fn condition(self) -> Result<Node<C>, Trouble> {
        match self {
            Part::Condition(node, _) => Ok(node),
            Part::Operand(operand, span) => match operand.kind() {
                Some(ValueKind::Bool) => Ok(Node::Truth(operand)),
                kind => {
                    Err((span, format!("{} is not a condition: compare it with something", called(kind))))
                }
            },
        }
    }

    /// As a side of a comparison.
    fn operand(self) -> Result<(Operand<C>, Span), Trouble> {
        match self {
            Part::Operand(operand, span) => Ok((operand, span)),
            Part::Condition(_, span) => Err((span, "a condition cannot be compared".to_owned())),
        }
    }
}

impl<C> Operand<C> {
    /// What it holds; `None` for the literal null.
    fn kind(&self) -> Option<ValueKind> {
        match self {
            Operand::Column(_, kind) => Some(*kind),
            Operand::Literal(value) => value.kind(),
        }
    }
}

struct Parser<'a, C> {
    tokens: std::iter::Peekable<std::vec::IntoIter<(Span, Token)>>,
    columns: &'a Columns<'a, C>,
    /// Where the text ends.
    end: Span,
    depth: usize,
}

impl<C> Parser<'_, C> {
    fn any(&mut self) -> Result<Part<C>, Trouble> {
        self.chain(&Token::Or, Self::all, Node::Any)
    }

    fn all(&mut self) -> Result<Part<C>, Trouble> {
        self.chain(&Token::And, Self::not, Node::All)
    }

    /// Parts between the same words. One list and not a tree, so that a long chain is not deep.
    fn chain(
        &mut self,
        between: &Token,
        part: fn(&mut Self) -> Result<Part<C>, Trouble>,
        join: fn(Vec<Node<C>>) -> Node<C>,
    ) -> Result<Part<C>, Trouble> {
        let first = part(self)?;
        let mut span = first.span();
        if self.tokens.peek().is_none_or(|(_, token)| token != between) {
            return Ok(first);
        }
        let mut nodes = vec![first.condition()?];
        while self.tokens.next_if(|(_, token)| token == between).is_some() {
            let next = part(self)?;
            span.end = next.span().end;
            nodes.push(next.condition()?);
        }
        Ok(Part::Condition(join(nodes), span))
    }

    fn not(&mut self) -> Result<Part<C>, Trouble> {
        let Some((span, _)) = self.tokens.next_if(|(_, token)| *token == Token::Not) else {
            return self.compare();
        };
        let part = self.deeper(span, Self::not)?;
        let span = Span { start: span.start, end: part.span().end };
        Ok(Part::Condition(Node::Not(Box::new(part.condition()?)), span))
    }

    fn compare(&mut self) -> Result<Part<C>, Trouble> {
        let left = self.primary()?;
        let Some((at, token)) = self.tokens.next_if(|(_, token)| matches!(token, Token::Operator(_))) else {
            return Ok(left);
        };
        let Token::Operator(operator) = token else { return Ok(left) };
        let (left, from) = left.operand()?;
        let (right, to) = self.primary()?.operand()?;
        let span = Span { start: from.start, end: to.end };
        let relation = match operator {
            Operator::Equal => Relation::Equal,
            Operator::Unequal => Relation::Unequal,
            Operator::Less => Relation::Less,
            Operator::LessEqual => Relation::LessEqual,
            Operator::Greater => Relation::Greater,
            Operator::GreaterEqual => Relation::GreaterEqual,
            Operator::Matches => {
                return Ok(Part::Condition(search(left, from, right, to, Node::Matches)?, span));
            }
            Operator::Differs => {
                return Ok(Part::Condition(search(left, from, right, to, Node::Differs)?, span));
            }
        };
        let node = match (left.kind(), right.kind()) {
            (None, _) => null(right, relation, at)?,
            (_, None) => null(left, relation, at)?,
            (Some(one), Some(other)) if one != other => {
                let message =
                    format!("{} cannot be compared with {}", called(Some(one)), called(Some(other)));
                return Err((span, message));
            }
            (Some(ValueKind::Bool), Some(_)) if !matches!(relation, Relation::Equal | Relation::Unequal) => {
                return Err((at, "true and false have no order".to_owned()));
            }
            (Some(_), Some(_)) => Node::Compare(left, relation, right),
        };
        Ok(Part::Condition(node, span))
    }

    fn primary(&mut self) -> Result<Part<C>, Trouble> {
        let Some((span, token)) = self.tokens.next() else {
            return Err((self.end, "expression ends where a column or a value is expected".to_owned()));
        };
        let value = match token {
            Token::Open => return self.deeper(span, |parser| parser.enclosed(span)),
            Token::Name(name) => {
                let (column, kind) = (self.columns)(&name).ok_or((span, format!("unknown column {name}")))?;
                return Ok(Part::Operand(Operand::Column(column, kind), span));
            }
            Token::Number(n) => Value::Number(n),
            Token::Text(text) => Value::Text(Cow::Owned(text)),
            Token::True => Value::Bool(true),
            Token::False => Value::Bool(false),
            Token::Null => Value::Null,
            Token::Or | Token::And | Token::Not | Token::Close | Token::Operator(_) => {
                return Err((span, unexpected(&token)));
            }
        };
        Ok(Part::Operand(Operand::Literal(value), span))
    }

    /// What stands in parentheses; `open` is the first of them.
    fn enclosed(&mut self, open: Span) -> Result<Part<C>, Trouble> {
        let part = self.any()?;
        match self.tokens.next() {
            Some((close, Token::Close)) => {
                let span = Span { start: open.start, end: close.end };
                Ok(match part {
                    Part::Condition(node, _) => Part::Condition(node, span),
                    Part::Operand(operand, _) => Part::Operand(operand, span),
                })
            }
            Some((span, token)) => Err((span, unexpected(&token))),
            None => Err((open, "parenthesis is never closed".to_owned())),
        }
    }

    /// One level down, unless that is too deep.
    fn deeper(
        &mut self,
        at: Span,
        part: impl FnOnce(&mut Self) -> Result<Part<C>, Trouble>,
    ) -> Result<Part<C>, Trouble> {
        if self.depth >= MAX_DEPTH {
            return Err((at, format!("nested deeper than {MAX_DEPTH}")));
        }
        self.depth += 1;
        let result = part(self);
        self.depth -= 1;
        result
    }
}

/// A comparison with the literal null.
fn null<C>(other: Operand<C>, relation: Relation, at: Span) -> Result<Node<C>, Trouble> {
    match relation {
        Relation::Equal => Ok(Node::IsNull(other)),
        Relation::Unequal => Ok(Node::Not(Box::new(Node::IsNull(other)))),
        Relation::Less | Relation::LessEqual | Relation::Greater | Relation::GreaterEqual => {
            Err((at, "null has no order: use == null or != null".to_owned()))
        }
    }
}

/// A search by regular expression.
fn search<C>(
    left: Operand<C>,
    from: Span,
    right: Operand<C>,
    to: Span,
    node: fn(Operand<C>, Box<regex_lite::Regex>) -> Node<C>,
) -> Result<Node<C>, Trouble> {
    let kind = left.kind();
    if kind != Some(ValueKind::Text) {
        return Err((from, format!("a regular expression searches text, not {}", called(kind))));
    }
    let Operand::Literal(Value::Text(pattern)) = right else {
        return Err((to, "a regular expression is written in quotes".to_owned()));
    };
    let mut builder = regex_lite::RegexBuilder::new(&pattern);
    let regex = builder.size_limit(REGEX_SIZE).nest_limit(REGEX_DEPTH).build();
    regex
        .map(|regex| node(left, Box::new(regex)))
        .map_err(|error| (to, format!("bad regular expression: {error}")))
}

fn called(kind: Option<ValueKind>) -> &'static str {
    match kind {
        Some(ValueKind::Number) => "a number",
        Some(ValueKind::Text) => "text",
        Some(ValueKind::Bool) => "a condition",
        None => "null",
    }
}

fn unexpected(token: &Token) -> String {
    let what = match token {
        Token::Or => "or",
        Token::And => "and",
        Token::Not => "not",
        Token::Open => "opening parenthesis",
        Token::Close => "closing parenthesis",
        Token::Operator(_) => "operator",
        Token::Number(_) => "number",
        Token::Text(_) => "text",
        Token::True | Token::False | Token::Null => "value",
        Token::Name(_) => "column",
    };
    format!("unexpected {what}")
}
