//! The plan as `cib-init plan` prints it.

use std::fmt;

use super::Plan;

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rows = vec![["STEP", "NEEDS", "WITHIN", "FAILURE", "WHAT"].map(str::to_owned)];
        for step in &self.steps {
            let needs: Vec<_> = step.needs.iter().map(|id| id.name()).collect();
            let within = format!("{} s", step.deadline.as_secs_f64());
            let what = match &step.skipped {
                Some(why) => format!("nothing: {why}"),
                None => step.what.clone(),
            };
            let failure = step.on_failure.to_string();
            rows.push([step.id.to_string(), needs.join(", "), within, failure, what]);
        }
        table(f, &rows)?;
        if self.services.is_empty() {
            return Ok(());
        }
        writeln!(f)?;
        let mut rows = vec![["SERVICE", "NEEDS", "USER", "GIVEN UP"].map(str::to_owned)];
        for service in &self.services {
            let given_up = if service.essential {
                "the box ends"
            } else {
                "warning"
            };
            rows.push([
                service.name.clone(),
                service.needs.join(", "),
                service.user.clone(),
                given_up.to_owned(),
            ]);
        }
        table(f, &rows)
    }
}

/// Columns as wide as their widest cell, two blanks between them, none at the end of a line.
fn table<const COLUMNS: usize>(
    f: &mut fmt::Formatter<'_>,
    rows: &[[String; COLUMNS]],
) -> fmt::Result {
    let mut widths = [0; COLUMNS];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            let cell = if cell.is_empty() { "-" } else { cell };
            line.push_str(&format!("{cell:width$}  "));
        }
        writeln!(f, "{}", line.trim_end())?;
    }
    Ok(())
}
