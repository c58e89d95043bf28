//! Which row of a list is selected, and which part of it is seen. It holds on to the thing, not to the row's number.

/// A selection in a list of things that have keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Cursor<K> {
    key: Option<K>,
    row: usize,
    top: usize,
    page: usize,
}

impl<K: Clone + PartialEq> Cursor<K> {
    /// The selected row.
    pub(super) fn row(&self) -> usize {
        self.row
    }

    /// What is selected; `None` where the list is empty.
    pub(super) fn key(&self) -> Option<K> {
        self.key.clone()
    }

    /// The first row that is seen.
    pub(super) fn top(&self) -> usize {
        self.top
    }

    /// Rows of a page: as many as were seen when it was last drawn.
    pub(super) fn page(&self) -> usize {
        self.page.max(1)
    }

    /// Finds what is selected in a list that changed; what is gone gives way to what is in its place now.
    pub(super) fn settle(&mut self, len: usize, key_at: impl Fn(usize) -> Option<K>) {
        let key = self.key.take();
        if key.is_none() || key_at(self.row) != key {
            let found = (0..len).find(|row| key.is_some() && key_at(*row) == key);
            self.row = found.unwrap_or(self.row).min(len.saturating_sub(1));
        }
        self.key = key_at(self.row).filter(|_| len > 0);
    }

    /// Selects a row; one that is not there stands for the last.
    pub(super) fn go(&mut self, row: usize, len: usize, key_at: impl Fn(usize) -> Option<K>) {
        self.row = row.min(len.saturating_sub(1));
        self.key = key_at(self.row).filter(|_| len > 0);
    }

    /// Moves the part that is seen so that the selected row is in it.
    pub(super) fn scroll(&mut self, page: usize, len: usize) {
        self.page = page;
        self.top = self.top.min(self.row).max(self.row.saturating_add(1).saturating_sub(page));
        // No blanks below the last row while there are rows above the first.
        self.top = self.top.min(len.saturating_sub(page));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(list: &[u32]) -> impl Fn(usize) -> Option<u32> + '_ {
        |row| list.get(row).copied()
    }

    /// Check that the selection follows its thing, and stays in place where that is gone.
    #[test]
    fn follows() {
        let mut cursor = Cursor::default();
        cursor.settle(3, at(&[7, 8, 9]));
        assert_eq!((cursor.row(), cursor.key()), (0, Some(7)));
        cursor.go(1, 3, at(&[7, 8, 9]));
        cursor.settle(4, at(&[1, 7, 9, 8]));
        assert_eq!((cursor.row(), cursor.key()), (3, Some(8)));
        cursor.settle(2, at(&[1, 7]));
        assert_eq!((cursor.row(), cursor.key()), (1, Some(7)));
        cursor.settle(0, at(&[]));
        assert_eq!((cursor.row(), cursor.key()), (0, None));
    }

    /// Check that the selected row is seen, and that no space is wasted.
    #[test]
    fn scrolls() {
        let list: Vec<u32> = (0..10).collect();
        let mut cursor = Cursor::default();
        cursor.go(7, 10, at(&list));
        cursor.scroll(3, 10);
        assert_eq!(cursor.top(), 5);
        cursor.go(6, 10, at(&list));
        cursor.scroll(3, 10);
        assert_eq!(cursor.top(), 5);
        cursor.go(2, 10, at(&list));
        cursor.scroll(3, 10);
        assert_eq!(cursor.top(), 2);
        cursor.go(99, 10, at(&list));
        cursor.scroll(20, 10);
        assert_eq!((cursor.row(), cursor.top()), (9, 0));
        cursor.scroll(0, 10);
        assert_eq!(cursor.page(), 1);
    }
}
