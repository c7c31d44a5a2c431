//! The paths that are asked about, as a tree of names.

/// A path of [`Paths`]; [`PathId::ROOT`] is the document itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PathId(u32);

impl PathId {
    pub const ROOT: Self = Self(0);

    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// A tree of names. Each path in it has a number, so that what belongs to a path can stand in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    steps: Vec<Step>,
}

/// The names that follow a path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Step {
    names: Vec<Named>,
    /// An open hash table over `names`, a quarter full at most: places in `names` plus one, and 0 for none.
    slots: Box<[u32]>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Named {
    print: Print,
    name: Box<str>,
    path: PathId,
}

/// A name in two numbers. Names of up to [`Print::WHOLE`] bytes with the same print are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Print {
    /// The length and the first seven bytes.
    head: u64,
    /// The last eight bytes.
    tail: u64,
}

impl Print {
    const WHOLE: usize = 15;

    #[inline]
    fn of(name: &str) -> Self {
        let bytes = name.as_bytes();
        let length = (bytes.len().min(0xFF) as u64) << 56;
        match (bytes.first_chunk(), bytes.last_chunk()) {
            (Some(first), Some(last)) => {
                Self { head: length | u64::from_be_bytes(*first) >> 8, tail: u64::from_be_bytes(*last) }
            }
            _ => Self { head: length | bytes.iter().fold(0, |head, byte| head << 8 | u64::from(*byte)), tail: 0 },
        }
    }

    /// The slot to look at first, of `slots`, which is a power of two.
    #[inline]
    fn slot(self, slots: usize) -> usize {
        // Fibonacci's: the middle of the product depends on all bits of both.
        let mixed = (self.head ^ self.tail.rotate_left(29)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        (mixed >> 32) as usize & (slots - 1)
    }
}

impl Step {
    fn find(&self, name: &str) -> Option<PathId> {
        let slots = self.slots.len();
        if slots == 0 {
            return None;
        }
        let print = Print::of(name);
        let mut slot = print.slot(slots);
        loop {
            let place = (*self.slots.get(slot)? as usize).checked_sub(1)?;
            let named = self.names.get(place)?;
            if named.print == print && (name.len() <= Print::WHOLE || *named.name == *name) {
                return Some(named.path);
            }
            slot = (slot + 1) & (slots - 1);
        }
    }

    fn settle(&mut self) {
        if self.names.is_empty() {
            return;
        }
        let slots = (self.names.len() * 4).next_power_of_two();
        let mut table = vec![0; slots];
        for (place, named) in (1..).zip(&self.names) {
            let first = named.print.slot(slots);
            let free = (first..slots).chain(0..first).find(|slot| table.get(*slot) == Some(&0));
            if let Some(free) = free.and_then(|slot| table.get_mut(slot)) {
                *free = place;
            }
        }
        self.slots = table.into();
    }
}

impl Default for Paths {
    fn default() -> Self {
        Self { steps: vec![Step::default()] }
    }
}

impl Paths {
    /// The tree of these paths, each given as its names.
    pub fn new<'n>(paths: impl IntoIterator<Item = Vec<&'n str>>) -> Self {
        let mut sorted: Vec<Vec<&str>> = paths.into_iter().collect();
        sorted.sort_unstable();
        let mut tree = Self::default();
        for path in sorted {
            let mut at = PathId::ROOT;
            for name in path {
                at = tree.last_or_new(at, name);
            }
        }
        tree.steps.iter_mut().for_each(Step::settle);
        tree
    }

    /// Paths come sorted: a name is either the newest one here, or new.
    fn last_or_new(&mut self, at: PathId, name: &str) -> PathId {
        let fresh = PathId(u32::try_from(self.steps.len()).unwrap_or(u32::MAX));
        let Some(Step { names, .. }) = self.steps.get_mut(at.index()) else { return at };
        if let Some(last) = names.last().filter(|last| *last.name == *name) {
            return last.path;
        }
        names.push(Named { print: Print::of(name), name: name.into(), path: fresh });
        self.steps.push(Step::default());
        fresh
    }

    /// The path that goes on from `at` with `name`.
    #[inline]
    pub fn next(&self, at: PathId, name: &str) -> Option<PathId> {
        self.steps.get(at.index())?.find(name)
    }

    /// All paths that go on from `at`, with their last names.
    pub fn all_next(&self, at: PathId) -> impl ExactSizeIterator<Item = (&str, PathId)> {
        let names = self.steps.get(at.index()).map_or(&[][..], |step| &step.names);
        names.iter().map(|named| (&*named.name, named.path))
    }

    /// The path of these names.
    pub fn find<'n>(&self, names: impl IntoIterator<Item = &'n str>) -> Option<PathId> {
        names.into_iter().try_fold(PathId::ROOT, |at, name| self.next(at, name))
    }

    /// How many paths there are, the root among them. Their numbers are below that.
    pub fn count(&self) -> usize {
        self.steps.len()
    }
}
