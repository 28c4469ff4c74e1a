//! "Did you mean": the known word that is written most like an unknown one.

/// Words longer than this are not compared, in bytes: nobody mistypes them, and the cost is quadratic.
const COMPARED_LENGTH_MAX: usize = 64;

/// The candidate with the fewest changed letters, if few enough that a slip of the hand explains them.
pub fn nearest(
    word: &str,
    candidates: impl IntoIterator<Item: AsRef<str> + Ord>,
) -> Option<String> {
    if word.len() > COMPARED_LENGTH_MAX {
        return None;
    }
    let wanted = word.to_ascii_lowercase();
    let allowed = (wanted.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| {
            (
                distance(&wanted, &candidate.as_ref().to_ascii_lowercase()),
                candidate,
            )
        })
        .filter(|(changes, _)| *changes <= allowed)
        .min()
        .map(|(_, candidate)| candidate.as_ref().to_owned())
}

/// How many letters must be inserted, removed, replaced or swapped with their neighbour.
fn distance(left: &str, right: &str) -> usize {
    let left: Vec<char> = left.chars().collect();
    let right: Vec<char> = right.chars().collect();
    let width = right.len() + 1;
    let mut table = vec![0; (left.len() + 1) * width];
    for row in 0..=left.len() {
        for column in 0..width {
            table[row * width + column] = if row == 0 || column == 0 {
                row + column
            } else {
                let replaced = usize::from(left[row - 1] != right[column - 1]);
                let mut best = (table[(row - 1) * width + column] + 1)
                    .min(table[row * width + column - 1] + 1)
                    .min(table[(row - 1) * width + column - 1] + replaced);
                let swapped = row > 1
                    && column > 1
                    && left[row - 1] == right[column - 2]
                    && left[row - 2] == right[column - 1];
                if swapped {
                    best = best.min(table[(row - 2) * width + column - 2] + 1);
                }
                best
            };
        }
    }
    table[left.len() * width + right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_found_and_strangers_are_not() {
        let known = ["selector", "serviceAccountSelector", "order", "types"];
        assert_eq!(nearest("selectr", known).as_deref(), Some("selector"));
        assert_eq!(nearest("Selector", known).as_deref(), Some("selector"));
        assert_eq!(nearest("odrer", known).as_deref(), Some("order"));
        assert_eq!(nearest("type", known).as_deref(), Some("types"));
        assert_eq!(nearest("banana", known), None);
        assert_eq!(nearest("", known), None);
        assert_eq!(nearest(&"x".repeat(100_000), known), None);
    }
}
