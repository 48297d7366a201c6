//! A tree of sorted items, laid out in one go: full leaves, and nodes over them.

use super::format::{GENERATION, HEADER, Key, NODE, Record, sum};
use crate::model::{Failure, Result};
use std::collections::BTreeMap;

/// Bytes of an item's head in a leaf, and of a pointer in a node.
const ITEM: usize = 25;
const POINTER: usize = 33;

/// Items by their keys.
pub type Items = BTreeMap<Key, Vec<u8>>;
/// Whose tree it is, and its items.
pub type Owned = (u64, Items);

/// How many items each node has, leaves first; the last level is the root alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape(Vec<Vec<usize>>);

impl Shape {
    /// The shape of a tree of items with these sizes.
    ///
    /// # Errors
    /// Class *bug* if one does not fit into a leaf.
    pub fn of(sizes: impl Iterator<Item = usize>) -> Result<Self> {
        let (mut leaves, mut count, mut used) = (Vec::new(), 0, HEADER);
        for size in sizes {
            let size = size + ITEM;
            if HEADER + size > NODE {
                return Err(Failure::bug(format!("an item of Btrfs with {size} bytes")));
            }
            if used + size > NODE {
                leaves.push(std::mem::take(&mut count));
                used = HEADER;
            }
            count += 1;
            used += size;
        }
        leaves.push(count);
        let mut levels = vec![leaves];
        while let Some(below) = levels.last().filter(|level| level.len() > 1) {
            let most = (NODE - HEADER) / POINTER;
            let nodes = (0..below.len()).step_by(most).map(|first| most.min(below.len() - first)).collect();
            levels.push(nodes);
        }
        Ok(Self(levels))
    }

    /// How many nodes it has.
    pub fn nodes(&self) -> usize {
        self.0.iter().map(Vec::len).sum()
    }

    /// The level of the root.
    pub fn height(&self) -> u8 {
        u8::try_from(self.0.len() - 1).unwrap_or(u8::MAX)
    }

    /// The level of each node, in the order of their addresses.
    pub fn levels(&self) -> impl Iterator<Item = u8> {
        self.0.iter().zip(0_u8..).flat_map(|(nodes, level)| nodes.iter().map(move |_| level))
    }
}

/// What all nodes of a filesystem carry.
#[derive(Clone, Copy, Debug)]
pub struct Marks {
    pub filesystem: [u8; 16],
    pub chunks: [u8; 16],
}

/// A tree whose place is known: its nodes lie one behind the other, the root last.
#[derive(Clone, Debug)]
pub struct Placed {
    pub owner: u64,
    pub shape: Shape,
    pub first: u64,
}

impl Placed {
    /// The address of a node.
    fn address(&self, node: usize) -> u64 {
        self.first + (node * NODE) as u64
    }

    /// Addresses and levels of its nodes.
    pub fn nodes(&self) -> impl Iterator<Item = (u64, u8)> {
        self.shape.levels().enumerate().map(|(node, level)| (self.address(node), level))
    }

    /// The address of the root.
    pub fn root(&self) -> u64 {
        self.address(self.shape.nodes() - 1)
    }

    /// Bytes that it takes.
    pub fn size(&self) -> u64 {
        (self.shape.nodes() * NODE) as u64
    }

    /// The nodes, one behind the other.
    ///
    /// # Errors
    /// Class *bug* if the items are not those of its shape.
    pub fn write(&self, items: &Items, marks: Marks) -> Result<Vec<u8>> {
        if self.shape.0[0].iter().sum::<usize>() != items.len() {
            return Err(Failure::bug(format!("tree {} was measured with other items", self.owner)));
        }
        let mut all = Vec::with_capacity(self.shape.nodes() * NODE);
        let mut left = items.iter();
        let mut below: Vec<(Key, u64)> = Vec::new();
        for count in &self.shape.0[0] {
            let of_leaf: Vec<_> = left.by_ref().take(*count).collect();
            let address = self.first + all.len() as u64;
            if let Some((key, _)) = of_leaf.first() {
                below.push((**key, address));
            }
            all.extend(self.node(leaf(&of_leaf), (address, 0, *count), marks));
        }
        for (nodes, level) in self.shape.0.iter().zip(0_u8..).skip(1) {
            let mut pointers = std::mem::take(&mut below).into_iter();
            for count in nodes {
                let address = self.first + all.len() as u64;
                let mut body = Record::default();
                for (i, (key, to)) in pointers.by_ref().take(*count).enumerate() {
                    if i == 0 {
                        below.push((key, address));
                    }
                    body = body.key(key).u64(to).u64(GENERATION);
                }
                all.extend(self.node(body.0, (address, level, *count), marks));
            }
        }
        Ok(all)
    }

    fn node(&self, body: Vec<u8>, (address, level, count): (u64, u8, usize), marks: Marks) -> Vec<u8> {
        const WRITTEN: u64 = 1;
        const MIXED_BACKREFS: u64 = 1 << 56;
        let mut node = Record(vec![0; 32])
            .bytes(&marks.filesystem)
            .u64(address)
            .u64(WRITTEN | MIXED_BACKREFS)
            .bytes(&marks.chunks)
            .u64(GENERATION)
            .u64(self.owner)
            .u32(u32::try_from(count).unwrap_or(u32::MAX))
            .u8(level)
            .bytes(&body)
            .up_to(NODE)
            .0;
        let sum = sum(&node[32..]);
        node[..4].copy_from_slice(&sum.to_le_bytes());
        node
    }
}

/// Heads from the front, contents from the back.
fn leaf(items: &[(&Key, &Vec<u8>)]) -> Vec<u8> {
    let mut body = vec![0; NODE - HEADER];
    let mut end = body.len();
    for (i, (key, data)) in items.iter().enumerate() {
        let start = end - data.len();
        body[start..end].copy_from_slice(data);
        end = start;
        let (start, size) = (u32::try_from(start).unwrap_or(0), u32::try_from(data.len()).unwrap_or(0));
        let head = Record::default().key(**key).u32(start).u32(size).0;
        body[i * ITEM..(i + 1) * ITEM].copy_from_slice(&head);
    }
    body
}

#[cfg(test)]
mod tests {
    use super::super::format::key;
    use super::*;

    #[test]
    fn trees_grow_a_level_when_they_must() {
        let shape = |items: usize, size| Shape::of(std::iter::repeat_n(size, items)).unwrap();
        assert_eq!((shape(0, 0).nodes(), shape(0, 0).height()), (1, 0));
        let full = (NODE - HEADER) / (ITEM + 100);
        assert_eq!(shape(full, 100).nodes(), 1);
        assert_eq!((shape(full + 1, 100).nodes(), shape(full + 1, 100).height()), (3, 1));
        let wide = shape(full * 494, 100);
        assert_eq!((wide.nodes(), wide.height()), (494 + 2 + 1, 2));
        assert_eq!(wide.levels().filter(|level| *level == 1).count(), 2);
        assert!(Shape::of([NODE].into_iter()).is_err());
    }

    #[test]
    fn a_tree_is_only_written_as_it_was_measured() {
        let items: Items = [(key(1, 2, 3), vec![7; 9])].into();
        let shape = Shape::of(items.values().map(Vec::len)).unwrap();
        let placed = Placed { owner: 5, shape, first: 0x10_0000 };
        let marks = Marks { filesystem: [1; 16], chunks: [2; 16] };
        assert_eq!(placed.write(&items, marks).unwrap().len(), NODE);
        assert_eq!(placed.root(), 0x10_0000);
        assert!(placed.write(&Items::new(), marks).is_err());
    }
}
