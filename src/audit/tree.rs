//! The Merkle tree over the lines of one checkpoint (RFC 6962 section 2.1), over the hashes of lines.
//!
//! A leaf is SHA-256(0x00, hash of the line), a node SHA-256(0x01, left, right), the empty tree SHA-256 of nothing.

use super::chain::Hash;

const LEAF: u8 = 0;
const NODE: u8 = 1;

/// A tree that grows line by line. Holds one hash for each complete subtree: at most 64.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TreeBuilder {
    /// Roots of the complete subtrees, the largest first: one for each bit of `len` that is set.
    subtrees: Vec<Hash>,
    len: u64,
}

impl TreeBuilder {
    /// Adds a line by its hash.
    pub fn push(&mut self, line: &Hash) {
        let mut root = leaf(line);
        for _ in 0..self.len.trailing_ones() {
            let Some(left) = self.subtrees.pop() else { break };
            root = node(&left, &root);
        }
        self.subtrees.push(root);
        self.len += 1;
    }

    /// Lines in the tree.
    pub const fn len(&self) -> u64 {
        self.len
    }

    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn root(&self) -> Hash {
        let mut smallest_first = self.subtrees.iter().rev();
        match smallest_first.next() {
            None => Hash::of(b""),
            Some(last) => smallest_first.fold(*last, |right, left| node(left, &right)),
        }
    }
}

/// The path from the line at `index` to the root of the tree over `lines`, lowest first (RFC 6962 section 2.1.1).
///
/// `None` if there is no such line.
pub fn inclusion_path(lines: &[Hash], index: usize) -> Option<Vec<Hash>> {
    if index >= lines.len() {
        return None;
    }
    let (mut lines, mut index) = (lines, index);
    let mut highest_first = Vec::new();
    while lines.len() > 1 {
        let (left, right) = lines.split_at_checked(split(lines.len()))?;
        let (inside, beside) = if index < left.len() { (left, right) } else { (right, left) };
        index -= if index < left.len() { 0 } else { left.len() };
        highest_first.push(root_of(beside));
        lines = inside;
    }
    highest_first.reverse();
    Some(highest_first)
}

/// The root of the tree over `size` lines in which `path` leads up from `line`, the hash of the line at `index`.
///
/// `None` if no such tree can be: the index is beyond the size, or the path has not the length that it must have.
pub fn root_from_path(line: &Hash, index: u64, size: u64, path: &[Hash]) -> Option<Hash> {
    if index >= size {
        return None;
    }
    // RFC 9162 section 2.1.3.2.
    let (mut at, mut last) = (index, size - 1);
    let mut root = leaf(line);
    for beside in path {
        if last == 0 {
            return None;
        }
        if at & 1 == 1 || at == last {
            root = node(beside, &root);
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            root = node(&root, beside);
        }
        at >>= 1;
        last >>= 1;
    }
    (last == 0).then_some(root)
}

/// The lines of the left part: the largest power of two below `len`, which is at least 2.
const fn split(len: usize) -> usize {
    1 << (usize::BITS - 1 - (len - 1).leading_zeros())
}

fn root_of(lines: &[Hash]) -> Hash {
    let mut tree = TreeBuilder::default();
    lines.iter().for_each(|line| tree.push(line));
    tree.root()
}

fn leaf(line: &Hash) -> Hash {
    let mut bytes = [LEAF; 33];
    bytes.iter_mut().skip(1).zip(line.as_bytes()).for_each(|(to, from)| *to = *from);
    Hash::of(&bytes)
}

fn node(left: &Hash, right: &Hash) -> Hash {
    let mut bytes = [NODE; 65];
    let both = left.as_bytes().iter().chain(right.as_bytes());
    bytes.iter_mut().skip(1).zip(both).for_each(|(to, from)| *to = *from);
    Hash::of(&bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lines(count: usize) -> Vec<Hash> {
        (0..count).map(|n| Hash::of(&n.to_be_bytes())).collect()
    }

    /// RFC 6962 section 2.1, word by word.
    fn naive_root(lines: &[Hash]) -> Hash {
        match lines {
            [] => Hash::of(&[]),
            [line] => Hash::of(&[&[0], line.as_bytes().as_slice()].concat()),
            _ => {
                let k = (0..).map(|n| 1 << n).take_while(|k| *k < lines.len()).last().unwrap();
                let (left, right) = (naive_root(&lines[..k]), naive_root(&lines[k..]));
                Hash::of(&[&[1], left.as_bytes().as_slice(), right.as_bytes().as_slice()].concat())
            }
        }
    }

    #[test]
    fn a_growing_tree_has_the_root_of_the_rfc_at_every_size() {
        let lines = lines(130);
        let mut tree = TreeBuilder::default();
        for size in 0..=lines.len() {
            assert_eq!((tree.len(), tree.root()), (size as u64, naive_root(&lines[..size])));
            lines.get(size).inspect(|line| tree.push(line));
        }
    }

    #[test]
    fn each_path_leads_to_the_root_and_is_no_longer_than_the_tree_is_high() {
        for size in 1..40 {
            let lines = lines(size);
            for (index, line) in lines.iter().enumerate() {
                let path = inclusion_path(&lines, index).unwrap();
                assert!(path.len() <= size.next_power_of_two().ilog2() as usize);
                let root = root_from_path(line, index as u64, size as u64, &path);
                assert_eq!(root, Some(naive_root(&lines)), "{index} of {size}");
            }
            assert_eq!(inclusion_path(&lines, size), None);
        }
    }

    proptest! {
        #[test]
        fn no_other_line_place_or_path_leads_to_the_root(
            size in 1_usize..300, at in any::<prop::sample::Index>(), flip in any::<prop::sample::Index>(),
            other_index in 0_u64..300,
        ) {
            let lines = lines(size);
            let index = at.index(size);
            let path = inclusion_path(&lines, index).unwrap();
            let root = Some(naive_root(&lines));
            let (index, size) = (index as u64, size as u64);
            prop_assert_ne!(root_from_path(&Hash::of(b"other"), index, size, &path), root);
            if other_index != index {
                prop_assert_ne!(root_from_path(&lines[at.index(lines.len())], other_index, size, &path), root);
            }
            let longer = [path.clone(), vec![Hash::GENESIS]].concat();
            prop_assert_eq!(root_from_path(&lines[at.index(lines.len())], index, size, &longer), None);
            if !path.is_empty() {
                let mut changed = path.clone();
                changed[flip.index(path.len())] = Hash::of(b"other");
                prop_assert_ne!(root_from_path(&lines[at.index(lines.len())], index, size, &changed), root);
                prop_assert_eq!(root_from_path(&lines[at.index(lines.len())], index, size, &path[1..]), None);
            }
        }
    }
}
