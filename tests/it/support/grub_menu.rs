//! GRUB's menu, read line by line: every line must be one that has a place there. Shares no code with what writes it; that
//! it does what it should is for `grub_counts.rs`.

use super::boot_menu::{Entry, id_in_menu, is_digit, on_trial};

const LOAD: &str = "reroot_entry reroot_tries reroot_left reroot_once";

/// An entry of the menu.
#[derive(Debug, Default)]
struct Listed {
    id: String,
    title: String,
    /// The file system of `$BOOT`.
    search: String,
    /// How often it may be tried, when that is counted.
    counted: Option<u32>,
    is_on_trial: bool,
    linux: String,
    initrd: String,
    arguments: String,
}

/// The menu has entries that are there, in the same order, with the same kernels and arguments, and chooses among them as
/// it should. Gives the ids of ours, and whether each is on trial.
pub fn check(menu: &str, entries: &[Entry], what: &str) -> Vec<(String, bool)> {
    let mut lines = menu.lines().map(str::trim).filter(|line| !line.starts_with('#')).peekable();
    let mut head = Vec::new();
    while let Some(line) = lines.next_if(|line| !line.starts_with("menuentry ")) {
        head.push(line);
    }
    let mut all = Vec::new();
    while lines.peek().is_some() {
        let body: Vec<&str> = lines.by_ref().take_while(|line| *line != "}").collect();
        all.push(Listed::read(&body, what));
    }
    all.retain(|listed| listed.id.strip_prefix("reroot-").is_some_and(|rest| rest.starts_with(is_digit)));

    let expected = entries.iter().filter(|entry| all.iter().any(|l| l.id == id_in_menu(&entry.file_name)));
    let expected: Vec<&Entry> = expected.collect();
    assert_eq!(all.len(), expected.len(), "{what}: GRUB's menu has entries that are not there: {all:?}");
    for (listed, entry) in all.iter().zip(expected) {
        assert_eq!(listed.id, id_in_menu(&entry.file_name), "{what}: the order of GRUB's menu");
        assert_eq!(Some(listed.title.as_str()), entry.one("title"), "{what}: {listed:?}");
        // A path in the menu is one of the file system, in an entry one of $BOOT.
        for (path, key) in [(&listed.linux, "linux"), (&listed.initrd, "initrd")] {
            let path = path.strip_prefix("/boot").filter(|rest| rest.starts_with("/reroot/")).unwrap_or(path);
            assert_eq!(Some(path), entry.one(key), "{what}: {listed:?}");
        }
        let options = entry.options().replace('"', "");
        let expected = if listed.is_on_trial { on_trial(&options) } else { options };
        assert_eq!(listed.arguments, expected, "{what}: {listed:?}");
    }
    for (place, listed) in all.iter().enumerate() {
        let is_counted = listed.is_on_trial && place == 0;
        assert_eq!(listed.counted.is_some(), is_counted, "{what}: the default is counted: {listed:?}");
    }
    assert_eq!(head, choice(&all, menu), "{what}: how GRUB chooses the default");
    all.into_iter().map(|listed| (listed.id, listed.is_on_trial)).collect()
}

/// The lines before the entries.
fn choice(all: &[Listed], menu: &str) -> Vec<String> {
    let Some(default) = all.first() else { return Vec::new() };
    let prefix = if menu.contains(" /boot/reroot/") { "/boot" } else { "" };
    let file = format!("($root){prefix}/loader/grubenv");
    let ids = all.iter().map(|listed| listed.id.as_str()).collect::<Vec<_>>().join(" ");
    let mut text = format!(
        "set default={}; set reroot_entry=; set reroot_tries=; set reroot_left=; set reroot_once=; \
         if [ -s {file} ]|then; load_env --file {file} {LOAD}; fi",
        default.id
    );
    let fallback = all.iter().find(|listed| !listed.is_on_trial).filter(|_| default.is_on_trial);
    if let Some(fallback) = fallback {
        text += &format!(
            "; if [ \"$reroot_entry:$reroot_left\" = {}:0 ]|then; set default={}; fi",
            default.id, fallback.id
        );
    }
    text += &format!(
        "; if [ -n \"$reroot_once\" ]|then; set reroot_next=\"$reroot_once\"; set reroot_once=; \
         if save_env --file {file} reroot_once|then; for reroot_id in {ids}|do; \
         if [ \"$reroot_next\" = \"$reroot_id\" ]|then; set default=\"$reroot_id\"; fi; done; fi; fi"
    );
    text.split("; ").map(|line| line.replace('|', "; ")).collect()
}

impl Listed {
    /// Reads the lines of one entry, without the brace at its end.
    fn read(body: &[&str], what: &str) -> Self {
        let mut listed = Self::default();
        let mut lines = body.iter().copied();
        let head = words(lines.next().unwrap());
        let head: Vec<&str> = head.iter().map(String::as_str).collect();
        let ["menuentry", title, "--class", "reroot", "--id", id, "{"] = head[..] else {
            panic!("{what}: {body:?}")
        };
        (listed.title, listed.id) = (title.into(), id.into());
        let search = lines.next().unwrap();
        assert!(search.starts_with("search --no-floppy --fs-uuid --set=root "), "{what}: {body:?}");
        listed.search = search.into();
        let rest: Vec<&str> = lines.collect();
        let counting = rest
            .iter()
            .position(|line| line.contains("linux "))
            .unwrap_or_else(|| panic!("{what}: {body:?}"));
        let (counting, commands) = rest.split_at(counting);
        listed.counted = (!counting.is_empty()).then(|| tries(counting, id, what));
        listed.read_commands(commands, what);
        listed
    }

    /// What loads the kernel, and when it is on trial what follows if that fails.
    fn read_commands(&mut self, commands: &[&str], what: &str) {
        let (mut depth, mut rest) = (0, commands);
        while let [line, after @ ..] = rest {
            let command = line.strip_prefix("if ").and_then(|line| line.strip_suffix("; then"));
            depth += usize::from(command.is_some());
            let command = words(command.unwrap_or(line));
            let command: Vec<&str> = command.iter().map(String::as_str).collect();
            match command[..] {
                ["linux", kernel, ref arguments @ ..] => {
                    (self.linux, self.arguments) = (kernel.into(), arguments.join(" "));
                }
                ["initrd", initrd] => self.initrd = initrd.into(),
                ["initrd", ..] | ["devicetree", _] => {}
                _ => break,
            }
            rest = after;
        }
        self.is_on_trial = depth > 0;
        if depth == 0 {
            assert!(rest.is_empty(), "{what}: {commands:?}");
            return;
        }
        let mut expected = vec!["boot"];
        expected.extend(vec!["fi"; depth]);
        expected.extend([
            "echo 'This entry is on trial and cannot be started. The machine restarts.'",
            "sleep 10",
            "reboot",
        ]);
        assert_eq!((depth + rest.len(), rest), (commands.len(), &expected[..]), "{what}: {commands:?}");
    }
}

/// The lines that count, which are these for so many attempts.
fn tries(lines: &[&str], id: &str, what: &str) -> u32 {
    let said = lines.get(2).and_then(|line| line.strip_prefix("set reroot_tries="));
    let tries: u32 =
        said.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("{what}: {lines:?}"));
    let mut expected = vec![
        format!("if [ \"$reroot_entry\" != {id} ]; then"),
        format!("set reroot_entry={id}"),
        format!("set reroot_tries={tries}"),
        format!("set reroot_left={tries}"),
        "fi".into(),
    ];
    for left in 0..tries {
        let condition = if left == 0 { "if" } else { "elif" };
        expected.push(format!("{condition} [ \"$reroot_left\" = {left} ]; then"));
        expected.push(format!("set reroot_left={}", if left == 0 { 0 } else { left - 1 }));
    }
    expected.extend(["else".into(), format!("set reroot_left={}", tries - 1), "fi".into()]);
    let saved = lines.get(expected.len()).copied().unwrap_or_default();
    let is_saved = saved.starts_with("if save_env --file ($root)")
        && saved.ends_with("/loader/grubenv reroot_entry reroot_tries reroot_left; then");
    assert!(is_saved, "{what}: {saved:?} in {lines:?}");
    expected.push(saved.into());
    expected.push("echo \"On trial. Attempts left after this one: $reroot_left\"".into());
    expected.push("else".into());
    expected.push("echo 'On trial, but attempts cannot be counted.'".into());
    expected.push("fi".into());
    assert_eq!(lines, expected, "{what}: how GRUB counts");
    tries
}

/// A line of GRUB's script as words (GRUB's manual, "Quoting"): quotes and backslashes are taken away.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    let mut characters = line.trim().chars();
    while let Some(c) = characters.next() {
        match (quote, c) {
            (Some('\''), '\'') | (Some('"'), '"') => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None | Some('"'), '\\') => word.get_or_insert_default().extend(characters.next()),
            (None, ' ' | '\t') => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}
