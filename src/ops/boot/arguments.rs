//! The kernel's command line of a deployment: what the image and the machine bring, less what the origin takes off,
//! then what the origin adds, then `reroot=`. Pure.
//!
//! Of an argument that is given twice the later one counts for most of the kernel, so what is nearer to the person
//! comes later. What follows a lone `--` is init's, whoever wrote it, and stays behind everything else.

use std::fmt;

use serde::Serialize;

use crate::boot::bls::OPTIONS_LIMIT;
use crate::boot::cmdline::{KernelArg, KernelArgs};
use crate::ops::{Error, Result};
use crate::sysroot::{BootFacts, BroughtArgument, KernelArgument, Origin, SeparateVar};

/// Where a kernel argument comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// A file in `/usr/lib/{bootc,reroot}/kargs.d` of the image.
    Image,
    /// A file in `/etc/reroot/kargs.d` of the machine, as it was when the deployment was made.
    Machine,
    /// The deployment's origin: `reroot kargs`, `--karg`, the installer.
    Origin,
    /// It names the deployment, or its `/var`.
    Reroot,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Source::Image => "image",
            Source::Machine => "machine",
            Source::Origin => "origin",
            Source::Reroot => "reroot",
        })
    }
}

/// One argument of a command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Argument {
    pub argument: KernelArg,
    pub source: Source,
    /// The file that asks for it, with a leading slash.
    pub file: Option<String>,
}

/// What was decided about kernel arguments on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Local {
    pub added: KernelArgs,
    /// Of those that are brought; one that nothing brings any more does no harm, and counts again when it comes back.
    pub removed: KernelArgs,
}

impl Local {
    /// An entry of the lists may hold several arguments: people write `"quiet splash"`.
    pub fn of_lists(added: &[KernelArgument], removed: &[KernelArgument]) -> Result<Self> {
        let parse = |list: &[KernelArgument]| -> Result<KernelArgs> {
            let mut all = Vec::new();
            for text in list {
                let arguments: KernelArgs =
                    text.as_str().parse().map_err(|e: crate::boot::cmdline::ParseError| invalid(e))?;
                all.extend(arguments.iter().cloned());
            }
            Ok(all.into_iter().collect())
        };
        Ok(Self { added: parse(added)?, removed: parse(removed)? })
    }

    pub fn of_origin(origin: &Origin) -> Result<Self> {
        Self::of_lists(&origin.kernel_arguments, &origin.removed_arguments)
    }

    /// The lists as an origin has them: added, removed.
    pub fn lists(&self) -> Result<(Vec<KernelArgument>, Vec<KernelArgument>)> {
        let list = |arguments: &KernelArgs| -> Result<Vec<KernelArgument>> {
            arguments.iter().map(|a| a.as_str().parse().map_err(invalid)).collect()
        };
        Ok((list(&self.added)?, list(&self.removed)?))
    }
}

fn invalid(error: impl fmt::Display) -> Error {
    Error::invalid(error.to_string())
}

/// What image and machine bring, the image's first, whether it is taken off or not.
pub fn brought(facts: &BootFacts) -> Result<Vec<Argument>> {
    let of = |list: &[BroughtArgument], source| -> Result<Vec<Argument>> {
        list.iter()
            .map(|BroughtArgument { argument, file }| {
                let argument = argument.parse().map_err(|e| Error::invalid(format!("{file}: {e}")))?;
                Ok(Argument { argument, source, file: Some(file.clone()) })
            })
            .collect()
    };
    Ok([of(&facts.image_arguments, Source::Image)?, of(&facts.machine_arguments, Source::Machine)?].concat())
}

/// The whole command line; `path` is the deployment's, `var` its stateroot's. Too long a one is refused.
pub fn command_line(
    facts: &BootFacts,
    local: &Local,
    path: &str,
    var: Option<&SeparateVar>,
) -> Result<Vec<Argument>> {
    let (mut kernels, mut inits) = (Vec::new(), Vec::new());
    let kept: Vec<Argument> =
        brought(facts)?.into_iter().filter(|a| !local.removed.contains(&a.argument)).collect();
    let added = local.added.iter().map(|argument| Argument {
        argument: argument.clone(),
        source: Source::Origin,
        file: None,
    });
    for list in by_file(kept).into_iter().chain([added.collect()]) {
        let mut of_init = false;
        for argument in list {
            match argument.argument.as_str() {
                "--" if !of_init => {
                    of_init = true;
                    if inits.is_empty() {
                        inits.push(argument);
                    }
                }
                _ if of_init => inits.push(argument),
                _ => kernels.push(argument),
            }
        }
    }
    for own in var.map(SeparateVar::kernel_argument).into_iter().chain([format!("reroot={path}")]) {
        let argument = own.parse().map_err(invalid)?;
        kernels.push(Argument { argument, source: Source::Reroot, file: None });
    }
    kernels.append(&mut inits);
    let length = print(&kernels).len();
    if length > OPTIONS_LIMIT {
        return Err(Error::invalid(format!(
            "the kernel arguments have {length} bytes together, and {OPTIONS_LIMIT} is the most; kernels drop what is \
             over 2047"
        )));
    }
    Ok(kernels)
}

/// As it goes into a boot entry.
pub fn print(arguments: &[Argument]) -> String {
    arguments.iter().map(|a| a.argument.as_str()).collect::<Vec<_>>().join(" ")
}

/// `--` reaches to the end of its file.
fn by_file(arguments: Vec<Argument>) -> Vec<Vec<Argument>> {
    let mut files: Vec<Vec<Argument>> = Vec::new();
    for argument in arguments {
        match files.last_mut() {
            Some(file) if file[0].file == argument.file => file.push(argument),
            _ => files.push(vec![argument]),
        }
    }
    files
}

#[cfg(test)]
pub(in crate::ops) mod tests {
    use super::*;

    /// Facts with arguments `file:argument`, those of `/etc` as the machine's.
    pub fn facts(brought: &[&str]) -> BootFacts {
        let (machine, image) = brought
            .iter()
            .map(|text| {
                let (file, argument) = text.split_once(':').unwrap();
                BroughtArgument { argument: argument.into(), file: file.into() }
            })
            .partition(|b: &BroughtArgument| b.file.starts_with("/etc/"));
        BootFacts {
            digest: "0".repeat(32),
            vmlinuz_bytes: 1,
            initrd_bytes: 1,
            pretty_name: "Test".into(),
            image_arguments: image,
            machine_arguments: machine,
        }
    }

    pub fn local(added: &str, removed: &str) -> Local {
        Local { added: added.parse().unwrap(), removed: removed.parse().unwrap() }
    }

    #[track_caller]
    fn assert_line(brought: &[&str], local: Local, expected: &str) {
        assert_eq!(print(&command_line(&facts(brought), &local, "/d/1", None).unwrap()), expected);
    }

    #[test]
    fn what_is_nearer_to_the_person_comes_later() {
        let brought = ["/usr/a:quiet", "/etc/b:console=tty1", "/usr/a:console=tty0"];
        assert_line(
            &brought,
            local("root=UUID=1 console=ttyS0", ""),
            "quiet console=tty0 console=tty1 root=UUID=1 console=ttyS0 reroot=/d/1",
        );
        let var = SeparateVar::new("UUID=1", "ext4");
        let line = command_line(&facts(&brought), &local("x", ""), "/d/1", Some(&var)).unwrap();
        let sources: Vec<_> = line.iter().map(|a| a.source.to_string()).collect();
        assert_eq!(sources, ["image", "image", "machine", "origin", "reroot", "reroot"]);
        assert_eq!(line[4].argument.as_str(), "reroot.var=UUID=1:ext4");
        assert_eq!(line[2].file.as_deref(), Some("/etc/b"));
    }

    #[test]
    fn what_is_removed_goes_however_it_is_spelled_and_only_that() {
        let brought = ["/usr/a:log-level=3", "/usr/a:log_level=4", "/usr/a:dyndbg=\"a b\"", "/etc/b:quiet"];
        let removed = local("quiet", "log_level=3 \"dyndbg=a b\" quiet never-there");
        assert_line(&brought, removed, "log_level=4 quiet reroot=/d/1");
    }

    #[test]
    fn what_is_for_init_stays_behind_what_is_for_the_kernel() {
        assert_line(
            &["/usr/a:a", "/usr/a:--", "/usr/a:one", "/usr/b:b", "/etc/c:--", "/etc/c:two"],
            local("c -- three -- four", ""),
            "a b c reroot=/d/1 -- one two three -- four",
        );
    }

    #[test]
    fn mistakes_are_named() {
        let error = |brought: &[&str], local| {
            command_line(&facts(brought), &local, "/d/1", None).unwrap_err().to_string()
        };
        let ascii = "/usr/a: kernel argument `ä=1`: a character that is not ASCII; loaders and the kernel disagree about them";
        assert_eq!(error(&["/usr/a:ä=1"], Local::default()), ascii);
        let long = local(&format!("a={}", "x".repeat(1900)), "");
        assert!(error(&[], long).starts_with("the kernel arguments have 1914 bytes together, and 1900 is"));
        let list = |text: &str| [text.parse::<KernelArgument>().unwrap()];
        let read = Local::of_lists(&list("quiet  splash a=\"b c\""), &[]).unwrap();
        assert_eq!(read.added.iter().count(), 3);
        let error = Local::of_lists(&list("a=\"b"), &[]).unwrap_err().to_string();
        assert_eq!(error, "kernel argument `a=\"b`: a double quote that is not closed");
    }
}
