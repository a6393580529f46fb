//! Passwords on their way in: typed twice without an echo, or the first line of standard input. Never an argument.

use std::io::{BufRead, IsTerminal, Read};

use clap::Args;

use super::Failure;
use crate::mint;

/// Shorter ones are guessed; nginx hashes longer ones at every request.
const LENGTH: std::ops::RangeInclusive<usize> = 8..=128;

/// Where the password comes from.
#[derive(Args)]
#[group(multiple = false)]
pub(super) struct From {
    /// Read it from standard input, its first line
    #[arg(long)]
    password_stdin: bool,
    /// Make one, and keep it in the passwords file for you
    #[arg(long)]
    generate: bool,
}

/// A password, and whether its owner has yet to learn it.
pub(super) struct Given {
    pub(super) password: String,
    pub(super) is_generated: bool,
}

impl From {
    pub(super) fn get(&self, account: &str) -> Result<Given, Failure> {
        if self.generate {
            let password = mint::generate_password()
                .map_err(|error| Failure::new(error.to_string(), "try again"))?;
            return Ok(Given {
                password,
                is_generated: true,
            });
        }
        let password = if self.password_stdin {
            from_lines(&mut std::io::stdin().lock())?
        } else if std::io::stdin().is_terminal() {
            typed(account)?
        } else {
            return Err(Failure::new(
                "nobody can be asked for a password: standard input is no terminal",
                "`--password-stdin` reads it from there, `--generate` makes one",
            ));
        };
        checked(password).map(|password| Given {
            password,
            is_generated: false,
        })
    }
}

fn typed(account: &str) -> Result<String, Failure> {
    let ask = |question: String| {
        rpassword::prompt_password(question)
            .map_err(|error| Failure::new(error.to_string(), "`--password-stdin` reads it instead"))
    };
    let first = ask(format!("Password for {account}: "))?;
    let second = ask("The same again: ".to_owned())?;
    if first == second {
        Ok(first)
    } else {
        Err(Failure::new("the two differ", "nothing was changed"))
    }
}

fn from_lines(input: &mut impl BufRead) -> Result<String, Failure> {
    let unreadable = |what: String| Failure::new(what, "write the password and a line end to it");
    let mut bytes = Vec::new();
    input
        .take(4096)
        .read_to_end(&mut bytes)
        .map_err(|error| unreadable(format!("standard input cannot be read: {error}")))?;
    let text = String::from_utf8(bytes)
        .map_err(|_| unreadable("standard input is not UTF-8 text".into()))?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    Ok(text.to_owned())
}

fn checked(password: String) -> Result<String, Failure> {
    if password.chars().any(char::is_control) {
        return Err(Failure::new(
            "the password has a control character or a line end in it",
            "one line of letters, digits, signs and spaces",
        ));
    }
    if !LENGTH.contains(&password.len()) {
        return Err(Failure::new(
            format!("the password has {} bytes", password.len()),
            format!("{} to {} are taken", LENGTH.start(), LENGTH.end()),
        ));
    }
    Ok(password)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<String, String> {
        let read = from_lines(&mut std::io::BufReader::new(bytes)).and_then(checked);
        read.map_err(|failure| failure.message)
    }

    #[test]
    fn one_line_and_nothing_else() {
        assert_eq!(read(b"pass word: 1\n").unwrap(), "pass word: 1");
        assert_eq!(read(b"pass word\r\n").unwrap(), "pass word");
        assert_eq!(read("p\u{e4}ssw\u{f6}rter".as_bytes()).unwrap().len(), 12);
        for bad in [
            &b""[..],
            b"\n",
            b"short\n",
            b"two lines\nare one too many\n",
            b"nul\0nul\0nul\0",
            b"\xff\xfe\xff\xfe\xff\xfe\xff\xfe\n",
            &[b'a'; 200],
            &[b'a'; 5000],
        ] {
            assert!(read(bad).is_err(), "{bad:?}");
        }
    }
}
