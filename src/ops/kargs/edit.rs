//! What a change of kernel arguments makes of the local decisions; pure.
//!
//! The rules for which argument is meant are those of rpm-ostree: a key alone must be unambiguous, and of several
//! values the one that is meant must be given.

use crate::boot::cmdline::{KernelArg, KernelArgs};
use crate::ops::boot::arguments::Local;
use crate::ops::{Error, Result};

/// Changes that are made together: deletions, then replacements, then additions.
#[derive(Debug, Clone, Default)]
pub struct Edits {
    /// `KEY` or `KEY=VALUE`.
    pub delete: Vec<KernelArg>,
    /// `KEY=VALUE` or `KEY=OLD=NEW`.
    pub replace: Vec<KernelArg>,
    pub append: Vec<KernelArg>,
    pub append_if_missing: Vec<KernelArg>,
}

/// Applies changes to local decisions. `brought` is what the image and the machine bring.
pub fn apply(edits: &Edits, brought: &[KernelArg], local: &Local) -> Result<Local> {
    let named = [&edits.delete, &edits.replace, &edits.append, &edits.append_if_missing];
    if named.into_iter().flatten().any(|argument| argument.has_key("reroot")) {
        return Err(Error::invalid("`reroot` names the deployment and is set by reroot itself"));
    }
    let mut state = State { brought, local: local.clone() };
    for spec in &edits.delete {
        let argument = state.meant(spec)?;
        state.delete(&argument);
    }
    edits.replace.iter().try_for_each(|spec| state.replace(spec))?;
    for argument in &edits.append {
        state.local.added.append(argument.clone());
    }
    for argument in &edits.append_if_missing {
        if !state.all().iter().any(|a| a.means(argument)) {
            state.local.added.append(argument.clone());
        }
    }
    Ok(state.local)
}

/// The local decisions that make the command line `list`, as far as its order allows: what is brought stays in front.
pub fn of_list(list: &KernelArgs, brought: &[KernelArg], local: &Local) -> Local {
    let mut wanted: Vec<&KernelArg> = list.iter().collect();
    let mut removed: Vec<KernelArg> =
        local.removed.iter().filter(|r| !brought.iter().any(|b| b.means(r))).cloned().collect();
    for argument in brought {
        match wanted.iter().position(|w| w.means(argument)) {
            Some(index) => drop(wanted.remove(index)),
            // One that is wanted once and brought twice stays twice: a removal counts for all that mean the same.
            None if list.contains(argument) => {}
            None => removed.push(argument.clone()),
        }
    }
    let mut once = KernelArgs::default();
    for argument in removed {
        once.append_if_missing(argument);
    }
    Local { added: wanted.into_iter().cloned().collect(), removed: once }
}

struct State<'b> {
    brought: &'b [KernelArg],
    local: Local,
}

impl State<'_> {
    /// What the kernel is given now.
    fn all(&self) -> Vec<KernelArg> {
        let kept = self.brought.iter().filter(|b| !self.local.removed.contains(b));
        kept.chain(&self.local.added).cloned().collect()
    }

    /// The argument that `KEY` or `KEY=VALUE` means.
    fn meant(&self, spec: &KernelArg) -> Result<KernelArg> {
        let all = self.all();
        let mut with_key: Vec<&KernelArg> = Vec::new();
        for argument in all.iter().filter(|a| a.has_key(spec.key())) {
            if !with_key.iter().any(|other| other.means(argument)) {
                with_key.push(argument);
            }
        }
        let same = with_key.iter().find(|a| a.means(spec));
        match (same, with_key.as_slice()) {
            (Some(argument), _) => Ok((*argument).clone()),
            (None, []) => Err(Error::not_found(format!(
                "there is no kernel argument `{}`; `reroot kargs` shows them",
                spec.key()
            ))),
            (None, [only]) if spec.value().is_none() => Ok((*only).clone()),
            (None, several) => {
                let list: Vec<_> = several.iter().map(|a| format!("`{a}`")).collect();
                Err(match spec.value() {
                    None => Error::invalid(format!(
                        "`{spec}` is ambiguous: there are {}; give the value as well",
                        list.join(", ")
                    )),
                    Some(_) => Error::not_found(format!(
                        "there is no kernel argument `{spec}`, but {}",
                        list.join(", ")
                    )),
                })
            }
        }
    }

    fn delete(&mut self, argument: &KernelArg) {
        self.local.added.delete(argument);
        if self.brought.iter().any(|b| b.means(argument)) {
            self.local.removed.append_if_missing(argument.clone());
        }
    }

    fn replace(&mut self, spec: &KernelArg) -> Result<()> {
        if spec.value().is_none() {
            return Err(Error::invalid(format!("`{spec}` says no value; write KEY=VALUE or KEY=OLD=NEW")));
        }
        let (old, new) = self.replacement(spec)?;
        let replaced = self.local.added.replace(&old, new.clone());
        if self.brought.iter().any(|b| b.means(&old)) && !old.means(&new) {
            self.local.removed.append_if_missing(old);
            if !replaced {
                self.local.added.append(new);
            }
        }
        Ok(())
    }

    /// Which argument is replaced by which. Values may hold `=`, so every one of them is tried as the border.
    fn replacement(&self, spec: &KernelArg) -> Result<(KernelArg, KernelArg)> {
        let (all, text) = (self.all(), spec.as_str());
        let mut quoted = false;
        let mut pairs = Vec::new();
        for (index, _) in text.char_indices().filter(|(_, c)| {
            quoted ^= *c == '"';
            *c == '=' && !quoted
        }) {
            let (Ok(old), Ok(new)) = (
                text[..index].parse::<KernelArg>(),
                format!("{}={}", spec.key(), &text[index + 1..]).parse::<KernelArg>(),
            ) else {
                continue;
            };
            if old.value().is_some() && all.iter().any(|a| a.means(&old)) {
                pairs.push((old, new));
            }
        }
        match pairs.len() {
            0 => {}
            1 => return Ok(pairs.swap_remove(0)),
            _ => {
                return Err(Error::invalid(format!("`{spec}` is ambiguous: it can be read in several ways")));
            }
        }
        let old = self.meant(&spec.key().parse().map_err(|e| Error::invalid(format!("{e}")))?)?;
        // `KEY=OLD=NEW` with a mistake in OLD must not become the value `OLD=NEW`.
        let has_border = |argument: &KernelArg| argument.value().is_some_and(|value| value.contains('='));
        match has_border(spec) && !has_border(&old) {
            true => Err(Error::not_found(format!(
                "`{spec}` names no argument that is there: there is `{old}`; write KEY=OLD=NEW, or delete it and append \
                 the new one"
            ))),
            false => Ok((old, spec.clone())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::boot::arguments::tests::local;

    fn args(text: &str) -> Vec<KernelArg> {
        text.parse::<KernelArgs>().unwrap().iter().cloned().collect()
    }

    /// `image | added | removed` -> the same afterwards, each word of `edits` with `+`, `?`, `-` or `~` in front.
    #[track_caller]
    fn changed(state: &str, edits: &str) -> String {
        let parts: Vec<&str> = state.split('|').map(str::trim).collect();
        let mut wanted = Edits::default();
        for edit in args(edits) {
            let argument = edit.as_str()[1..].parse().unwrap();
            match edit.as_str().as_bytes()[0] {
                b'+' => wanted.append.push(argument),
                b'?' => wanted.append_if_missing.push(argument),
                b'-' => wanted.delete.push(argument),
                _ => wanted.replace.push(argument),
            }
        }
        match apply(&wanted, &args(parts[0]), &local(parts[1], parts[2])) {
            Ok(Local { added, removed }) => format!("{added} | {removed}"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn local_arguments_are_added_replaced_and_deleted() {
        for (state, edits, expected) in [
            ("quiet | root=a | ", "+x +x ?x ?y ?quiet", "root=a x x y | "),
            (" | a=1 b a=2 | ", "-a=1 -b", "a=2 | "),
            (" | a=1 -- init | ", "+b=2", "a=1 b=2 -- init | "),
            (" | a=1 b | ", "~a=2", "a=2 b | "),
            (" | a=1 a=2 b | ", "~a=2=3", "a=1 a=3 b | "),
            (" | root=UUID=1-2 | ", "~root=UUID=3-4", "root=UUID=3-4 | "),
            (
                " | root=UUID=1-2 root=/dev/sda | ",
                "~root=UUID=1-2=/dev/sdb",
                "root=/dev/sdb root=/dev/sda | ",
            ),
            (" | dyndbg=\"file a.c +p\" | ", "~dyndbg=\"file b.c +p\"", "dyndbg=\"file b.c +p\" | "),
            (" | d=\"a=1 b\" d=x | ", "~d=\"a=1 b\"=\"c d\"", "d=\"c d\" d=x | "),
            (" | log-level=3 | ", "-log_level", " | "),
            (" | quiet quiet=1 | ", "-quiet", "quiet=1 | "),
            (" | quiet quiet | ", "-quiet", " | "),
            // Together: what is deleted makes room for what is added.
            (" | console=a console=b | ", "+console=c -console=a -console=b", "console=c | "),
        ] {
            assert_eq!(changed(state, edits), expected, "{state} {edits}");
        }
    }

    #[test]
    fn what_the_image_brings_can_be_taken_off_and_replaced() {
        for (state, edits, expected) in [
            ("quiet a=1 | x | ", "-quiet", "x | quiet"),
            ("quiet a=1 | x quiet | old", "-quiet", "x | old quiet"),
            ("quiet a=1 | x | ", "~a=2", "x a=2 | a=1"),
            ("a=1 a=2 | x | ", "~a=1=3 -x", "a=3 | a=1"),
            ("a=1 | a=1 | ", "~a=2", "a=2 | a=1"),
            ("a=1 | | ", "~a=1", " | "),
            ("a=1 | a=2 | a=1", "~a=3", "a=3 | a=1"),
            // Deleted before, wanted again.
            ("quiet | | quiet", "?quiet", "quiet | quiet"),
        ] {
            assert_eq!(changed(state, edits), expected, "{state} {edits}");
        }
    }

    #[test]
    fn what_cannot_be_meant_is_explained() {
        for (state, edits, expected) in [
            ("quiet | | ", "-splash", "there is no kernel argument `splash`; `reroot kargs` shows them"),
            ("quiet | | quiet", "-quiet", "there is no kernel argument `quiet`; `reroot kargs` shows them"),
            ("a=1 | a=2 | ", "-a", "`a` is ambiguous: there are `a=1`, `a=2`; give the value as well"),
            ("a=1 | a=2 | ", "~a=3", "`a` is ambiguous: there are `a=1`, `a=2`; give the value as well"),
            ("a=1 | | ", "-a=2", "there is no kernel argument `a=2`, but `a=1`"),
            ("a=1 | | ", "~a", "`a` says no value; write KEY=VALUE or KEY=OLD=NEW"),
            ("a=1 | | ", "~b=1", "there is no kernel argument `b`; `reroot kargs` shows them"),
            (
                " | console=ttyS0,115200 | ",
                "~console=ttyS0=ttyS1",
                "`console=ttyS0=ttyS1` names no argument that is there: there is `console=ttyS0,115200`; write \
                 KEY=OLD=NEW, or delete it and append the new one",
            ),
            (" | a=1 a=1=2 | ", "~a=1=2=3", "`a=1=2=3` is ambiguous: it can be read in several ways"),
            ("a | | ", "+reroot=/x", "`reroot` names the deployment and is set by reroot itself"),
            ("a | | ", "-reroot", "`reroot` names the deployment and is set by reroot itself"),
        ] {
            assert_eq!(changed(state, edits), expected, "{state} {edits}");
        }
    }

    #[test]
    fn a_list_from_an_editor_becomes_decisions() {
        for (brought, before, list, expected) in [
            ("quiet a=1", local("x y", "old"), "quiet a=1 x y", local("x y", "old")),
            ("quiet a=1", local("x y", ""), "a=1 y z", local("y z", "quiet")),
            ("quiet a=1", local("x", "quiet"), "quiet a=1", local("", "")),
            ("a a", local("", ""), "a", local("", "")),
            ("a", local("", ""), "a a", local("a", "")),
            ("a a b", local("", ""), "b", local("", "a")),
            ("d=\"x y\"", local("", ""), "\"d=x y\"", local("", "")),
        ] {
            let list = list.parse().unwrap();
            assert_eq!(of_list(&list, &args(brought), &before), expected, "{brought} -> {list}");
        }
    }

    proptest::proptest! {
        /// Whatever is written in an editor is what the kernel gets, each argument as often.
        #[test]
        fn a_list_is_what_the_kernel_gets(brought in "([ab]=[12] ){0,3}", list in "([abc]=[123] ){0,4}") {
            let (brought, wanted): (_, KernelArgs) = (args(&brought), list.parse().unwrap());
            let local = of_list(&wanted, &brought, &Local::default());
            let got = State { brought: &brought, local }.all();
            for argument in &wanted {
                proptest::prop_assert!(got.contains(argument));
            }
            for argument in &got {
                proptest::prop_assert!(wanted.contains(argument));
            }
        }

        #[test]
        fn any_change_is_made_or_refused(state in "[ab]=?[12]? \\| ([ab]=?[12]? ){0,2}\\| [ab]?", edit in "[+?~-][ab]=?[12]?=?[12]?") {
            let _ = changed(&state, &edit);
        }
    }
}
