//! A person's editor, for a list of kernel arguments.

use std::io::IsTerminal;
use std::process::Command;

use crate::boot::cmdline::KernelArgs;
use crate::env::Env;
use crate::fsx;
use crate::ops::{Error, Result, ResultExt, ShownArgument};

const FILE: &str = "kernel-arguments";
/// Far more than a command line can have.
const LIMIT: u64 = 1 << 20;

const EXPLANATION: &str = "\
# Kernel arguments, one on a line. Saving makes a new deployment with exactly these; the argument `reroot=`, which names
# it, is added then. Lines that begin with # do not count. An empty list changes nothing. What the image and the machine
# bring stays in front of the rest.
";

/// Lets a person write other arguments than these.
pub(super) fn kernel_arguments(now: &[ShownArgument], env: &Env) -> Result<KernelArgs> {
    if !std::io::stdin().is_terminal() || !std::io::stdout().is_terminal() {
        return Err(Error::invalid(
            "an editor needs a terminal; --append, --delete and --replace do the same without one",
        ));
    }
    let scratch = Scratch::new(env)?;
    fsx::write_atomic(&scratch.dir, FILE, print(now).as_bytes(), 0o600)
        .map_err(Error::io(format!("writing {}", scratch.path)))?;
    let editor = env.var("VISUAL").or(env.var("EDITOR")).unwrap_or("vi");
    // As others do it: the variable may hold options.
    let status = Command::new("sh")
        .args(["-c", &format!("{editor} \"$1\""), "sh", &format!("{}/{FILE}", scratch.path)])
        .status()
        .map_err(Error::io(format!("starting the editor `{editor}`")))?;
    if !status.success() {
        return Err(Error::invalid(format!(
            "the editor `{editor}` ended with {status}; nothing was changed"
        )));
    }
    let text = fsx::read_limited(&scratch.dir, FILE, LIMIT)
        .map_err(Error::io(format!("reading {}/{FILE}", scratch.path)))?
        .unwrap_or_default();
    let text = String::from_utf8(text).map_err(|_| Error::invalid("what was written is not UTF-8"))?;
    parse(&text).context(|| "reading what was written")
}

fn print(arguments: &[ShownArgument]) -> String {
    arguments.iter().fold(EXPLANATION.to_owned(), |text, a| text + &a.argument + "\n")
}

fn parse(text: &str) -> Result<KernelArgs> {
    let mut all = Vec::new();
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with('#')) {
        let arguments: KernelArgs =
            line.parse().map_err(|e| Error::invalid(format!("line {}: {e}", index + 1)))?;
        all.extend(arguments.iter().cloned());
    }
    match all.is_empty() {
        true => Err(Error::invalid("the list is empty; nothing was changed")),
        false => Ok(all.into_iter().collect()),
    }
}

/// A directory that nobody else can have prepared or can look into.
struct Scratch {
    path: String,
    dir: fsx::Dir,
}

impl Scratch {
    fn new(env: &Env) -> Result<Self> {
        let path = format!("{}/reroot-kargs-{}", env.var("TMPDIR").unwrap_or("/tmp"), std::process::id());
        let make = || {
            rustix::fs::mkdir(&*path, rustix::fs::Mode::RWXU)?;
            fsx::open_dir(path.as_ref())
        };
        let dir = make().map_err(Error::io(format!("making {path}")))?;
        Ok(Self { path, dir })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What an editor leaves beside the file stays, and the directory with it.
        let _ = fsx::remove_file(&self.dir, FILE);
        let _ = rustix::fs::rmdir(&*self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_reads_back_and_mistakes_have_their_line() {
        let shown = |text: &str| ShownArgument {
            argument: text.into(),
            source: crate::ops::ArgumentSource::Origin,
            file: None,
        };
        let text = print(&[shown("root=UUID=1"), shown("dyndbg=\"file a.c +p\"")]);
        assert_eq!(parse(&text).unwrap().to_string(), "root=UUID=1 dyndbg=\"file a.c +p\"");
        assert_eq!(parse("# a\n\n  b c \n\td\n").unwrap().to_string(), "b c d");
        let error = |text| parse(text).unwrap_err().to_string();
        assert_eq!(error("a\nb=\"c\n"), "line 2: kernel argument `b=\"c`: a double quote that is not closed");
        assert_eq!(error("# only words\n\n"), "the list is empty; nothing was changed");
    }
}
