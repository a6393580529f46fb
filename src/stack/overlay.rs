use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::StackError;

/// An edit of a generated file that the owner chose to keep: laid over what the stacks make, at every install.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Overlay {
    /// The file.
    pub path: PathBuf,
    /// Its permission bits in octal, if they are not what Tavern gives it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// `user:group`, if it is not what Tavern gives it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// What the owner made of its text, if anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edit: Option<Edit>,
}

/// A text before and after an edit. The whole of both: a patch alone could land in the wrong place once the lines
/// around it change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Edit {
    /// What the owner made of it.
    pub text: String,
    /// What the stacks had made when it was kept.
    pub base: String,
}

impl Overlay {
    /// Reads an overlay file.
    ///
    /// # Errors
    /// With line and caret.
    pub fn parse(path: &Path, source: &[u8]) -> Result<Self, StackError> {
        let help = "an overlay is made by `tavernctl drift --adopt`; remove the file to give it up";
        let text =
            std::str::from_utf8(source).map_err(|_| StackError::whole(path, "not UTF-8", help))?;
        let overlay: Self =
            toml::from_str(text).map_err(|error| StackError::toml(path, text, &error))?;
        if !overlay.path.is_absolute() {
            return Err(StackError::whole(path, "`path` is not absolute", help));
        }
        if overlay.mode.is_some() && overlay.mode_bits().is_none() {
            return Err(StackError::whole(
                path,
                "`mode` is not octal, as in \"0640\"",
                help,
            ));
        }
        if overlay
            .owner
            .as_ref()
            .is_some_and(|owner| owner.split(':').filter(|part| !part.is_empty()).count() != 2)
        {
            return Err(StackError::whole(path, "`owner` is not `user:group`", help));
        }
        Ok(overlay)
    }

    /// The edit that leads from one text to another.
    pub fn between(path: PathBuf, base: &str, edited: &str) -> Self {
        let edit = Edit {
            text: edited.to_owned(),
            base: base.to_owned(),
        };
        Self {
            path,
            mode: None,
            owner: None,
            edit: (base != edited).then_some(edit),
        }
    }

    /// As the text of its file.
    pub fn to_toml(&self) -> String {
        let body = toml::to_string_pretty(self).unwrap_or_default();
        format!(
            "# An edit of a generated file, kept by `tavernctl drift --adopt`. Remove this file to give it up.\n{body}"
        )
    }

    /// Its permission bits.
    pub fn mode_bits(&self) -> Option<u32> {
        let bits = u32::from_str_radix(self.mode.as_ref()?, 8).ok()?;
        (bits <= 0o7777).then_some(bits)
    }

    /// What the stacks make now, with the edit carried over to it. Where both changed the same lines it does not fit:
    /// then the text with both, between marks.
    ///
    /// # Errors
    /// That text.
    pub fn apply(&self, made: &str) -> Result<String, String> {
        match &self.edit {
            None => Ok(made.to_owned()),
            Some(edit) => diffy::merge(&edit.base, &edit.text, made),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edit_survives_its_file_and_a_base_that_moves() {
        let base = "one\ntwo\nthree\nfour\nfive\nsix\nseven\neight\n";
        let edited = base.replace("six", "6 \"\"\" '''");
        let overlay = Overlay {
            mode: Some("0640".into()),
            owner: Some("root:adm".into()),
            ..Overlay::between("/etc/x".into(), base, &edited)
        };
        let read = Overlay::parse(Path::new("x.toml"), overlay.to_toml().as_bytes()).unwrap();
        assert_eq!(read, overlay);
        assert_eq!(read.apply(base).unwrap(), edited);
        // Other lines may change, and so be carried on.
        let newer = format!("zero\n{base}");
        assert_eq!(read.apply(&newer).unwrap(), format!("zero\n{edited}"));
        // Also right beside the edit's context, but not in it.
        let newer = base.replace("four", "4");
        assert_eq!(read.apply(&newer).unwrap(), edited.replace("four", "4"));
        let clash = read.apply(&base.replace("six", "VI")).unwrap_err();
        assert!(clash.contains("VI") && clash.contains("<<<<<<<"), "{clash}");
        assert_eq!(read.mode_bits(), Some(0o640));
    }

    #[test]
    fn bad_overlays_are_refused() {
        for text in [
            "path = \"etc/x\"",
            "path = \"/etc/x\"\nmode = \"rw\"",
            "path = \"/etc/x\"\nowner = \"root\"",
            "path = \"/etc/x\"\nunknown = 1",
            "path = \"/etc/x\"\n[edit]\ntext = \"\"",
        ] {
            assert!(
                Overlay::parse(Path::new("x.toml"), text.as_bytes()).is_err(),
                "{text}"
            );
        }
    }
}
