//! A copied `~/.ssh/config`, made to mean the copies of what stands beside it.

use std::path::Path;

/// More than any such file.
pub(super) const MOST_BYTES: u64 = 1024 * 1024;

/// The text with every path into the original folder leading into the copy. What is included
/// by a name alone is looked for in the original folder, so it gets the copy's name in front.
pub(super) fn retarget(text: &str, original: &Path, copy: &Path) -> String {
    let copy = format!("{}/", copy.display());
    let originals = ["~/.ssh/".to_owned(), "%d/.ssh/".to_owned()];
    let named = format!("{}/", original.display());
    let mut result = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let mut line = line.replace(&named, &copy);
        for original in &originals {
            line = line.replace(original, &copy);
        }
        if let Some(names) = included(&line) {
            let names: Vec<String> = names
                .iter()
                .map(|name| {
                    let name = name.trim_matches('"');
                    let absolute = name.starts_with(['/', '~', '$', '%']);
                    let copy = if absolute { "" } else { &copy };
                    format!("\"{copy}{name}\"")
                })
                .collect();
            line = format!("Include {}\n", names.join(" "));
        }
        result.push_str(&line);
    }
    result
}

/// What a line includes. Names with blanks in quotes are left as they are.
fn included(line: &str) -> Option<Vec<&str>> {
    let mut words = line.split(|c: char| c.is_whitespace() || c == '=');
    let keyword = words.by_ref().find(|word| !word.is_empty())?;
    if !keyword.eq_ignore_ascii_case("include") {
        return None;
    }
    let names: Vec<_> = words.filter(|word| !word.is_empty()).collect();
    let whole = |name: &&str| name.matches('"').count().is_multiple_of(2);
    names.iter().all(whole).then_some(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_into_the_copy_and_everything_else_stays() {
        let text = "Include conf.d/* \"more\" /etc/ssh/x\n\
                    Host a\n\tIdentityFile ~/.ssh/id_a\n  IdentityFile=%d/.ssh/id_b\n\
                    IdentityFile /home/coder/.ssh/id_c\nUser include\n# Include no";
        let got = retarget(text, Path::new("/home/coder/.ssh"), Path::new("/c"));
        assert_eq!(
            got,
            "Include \"/c/conf.d/*\" \"/c/more\" \"/etc/ssh/x\"\n\
             Host a\n\tIdentityFile /c/id_a\n  IdentityFile=/c/id_b\n\
             IdentityFile /c/id_c\nUser include\n# Include no"
        );
    }
}
