//! Connected cells of a map: which belong together, eight neighbours to a cell.

/// The components of a map, their cells side by side.
#[derive(Debug, Default)]
pub(crate) struct Components {
    /// Cell numbers, `row * columns + column`, one component after the other.
    cells: Vec<u32>,
    /// Where each component ends.
    ends: Vec<usize>,
}

impl Components {
    /// Finds the components of the cells for which `inside` holds, in the order of their first cells. Every cell is
    /// visited once and looked at from each of its neighbours.
    ///
    /// A map of `u32::MAX` cells or more has no components here; none that a memory could hold is as large.
    pub(crate) fn of(rows: usize, columns: usize, inside: impl Fn(usize) -> bool) -> Self {
        let mut found = Components::default();
        let count = rows * columns;
        if count >= u32::MAX as usize {
            return found;
        }
        let mut open: Vec<bool> = (0..count).map(inside).collect();
        for first in 0..count {
            if !open[first] {
                continue;
            }
            open[first] = false;
            // The cells of a component are also the queue of those whose neighbours are still to be looked at.
            let mut next = found.cells.len();
            found.cells.push(first as u32);
            while let Some(&cell) = found.cells.get(next) {
                next += 1;
                let (row, column) = (cell as usize / columns, cell as usize % columns);
                for r in row.saturating_sub(1)..(row + 2).min(rows) {
                    for c in column.saturating_sub(1)..(column + 2).min(columns) {
                        let neighbour = r * columns + c;
                        if open[neighbour] {
                            open[neighbour] = false;
                            found.cells.push(neighbour as u32);
                        }
                    }
                }
            }
            found.ends.push(found.cells.len());
        }
        found
    }

    /// The cells of each component.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &[u32]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, &end)| &self.cells[start..end])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(map: &[&str]) -> Vec<Vec<u32>> {
        let bytes = map.concat().into_bytes();
        let components =
            Components::of(map.len(), map.first().map_or(0, |row| row.len()), |i| bytes[i] == b'#');
        let mut found: Vec<Vec<u32>> = components.iter().map(<[u32]>::to_vec).collect();
        found.iter_mut().for_each(|cells| cells.sort_unstable());
        found
    }

    #[test]
    fn corners_connect_and_order_is_that_of_first_cells() {
        assert_eq!(of(&[".#.#", "#..#", ".#.."]), [vec![1, 4, 9], vec![3, 7]]);
        assert_eq!(of(&["#.#", "#.#", "###"]), [vec![0, 2, 3, 5, 6, 7, 8]]);
        assert_eq!(of(&["...", "..."]), Vec::<Vec<u32>>::new());
        assert_eq!(of(&[]), Vec::<Vec<u32>>::new());
    }

    #[test]
    fn a_large_component_is_found_without_recursion() {
        let components = Components::of(700, 700, |_| true);
        assert_eq!(components.iter().map(<[u32]>::len).collect::<Vec<_>>(), [490_000]);
    }
}
