//! Colors for what is typed.

use reedline::{Color, Highlighter, StyledText};

use super::complete::is_keyword;
use crate::lexer::{Kind, tokens};

/// Colors SQL by kind of token.
pub struct SqlHighlighter;

impl Highlighter for SqlHighlighter {
    fn highlight(&self, line: &str, _cursor: usize) -> StyledText {
        let mut styled = StyledText::new();
        for token in tokens(line) {
            let text = &line[token.span];
            let style = match token.kind {
                Kind::Word if is_keyword(text) => Color::Blue.bold(),
                Kind::Text => Color::Green.normal(),
                Kind::Number => Color::Cyan.normal(),
                Kind::Comment => Color::DarkGray.normal(),
                _ => Color::Default.normal(),
            };
            styled.push((style, text.to_owned()));
        }
        styled
    }
}
