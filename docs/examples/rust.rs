// Rust's global allocator on MemoryBucket: rustc rust.rs -L native=LIBRARY_FOLDER
use std::alloc::{GlobalAlloc, Layout};
use std::ptr;

#[link(name = "memorybucket")]
extern "C" {
    fn mb_alloc(size: usize) -> *mut u8;
    fn mb_calloc(count: usize, size: usize) -> *mut u8;
    fn mb_aligned_alloc(alignment: usize, size: usize) -> *mut u8;
    fn mb_realloc(pointer: *mut u8, size: usize) -> *mut u8;
    fn mb_free_sized(pointer: *mut u8, size: usize);
    fn mb_good_size(size: usize) -> usize;
}

struct MemoryBucket;

// mb_alloc aligns to the largest power of two that divides the size, up to 16.
fn is_plain(align: usize, size: usize) -> bool {
    align <= 8 || align == 16 && size % 16 == 0
}

unsafe impl GlobalAlloc for MemoryBucket {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if is_plain(layout.align(), layout.size()) {
            mb_alloc(layout.size())
        } else {
            mb_aligned_alloc(layout.align(), layout.size())
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if is_plain(layout.align(), layout.size()) {
            return mb_calloc(1, layout.size());
        }
        let pointer = self.alloc(layout);
        if !pointer.is_null() {
            ptr::write_bytes(pointer, 0, layout.size());
        }
        pointer
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if is_plain(layout.align(), size) {
            return mb_realloc(pointer, size); // which does not know of alignments
        }
        let moved = self.alloc(Layout::from_size_align_unchecked(size, layout.align()));
        if !moved.is_null() {
            ptr::copy_nonoverlapping(pointer, moved, size.min(layout.size()));
            self.dealloc(pointer, layout);
        }
        moved
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        mb_free_sized(pointer, layout.size());
    }
}

#[global_allocator]
static GLOBAL: MemoryBucket = MemoryBucket;

fn main() {
    #[repr(align(64))]
    struct Line([u8; 64]);
    #[repr(align(16))]
    struct Quarter([u8; 16]);

    let mut words = Vec::new(); // which grows by realloc
    let threads: Vec<_> = (0..4)
        .map(|thread| std::thread::spawn(move || (0..1000).map(|n| format!("{thread} {n}")).collect::<Vec<_>>()))
        .collect();
    for thread in threads {
        words.append(&mut thread.join().unwrap()); // freed by another thread
    }
    let mut lines = Vec::new();
    let mut quarters = Vec::new();
    for n in 0..100 {
        lines.push(Line([n; 64]));
        quarters.push(Quarter([n; 16]));
        assert!(lines.as_ptr() as usize % 64 == 0 && quarters.as_ptr() as usize % 16 == 0);
    }
    assert!((0..100).all(|n| lines[n].0[63] == n as u8 && quarters[n].0[15] == n as u8));
    assert!(vec![0u8; 100].iter().all(|byte| *byte == 0));
    println!("{} words; an object of 20 bytes has {}", words.len(), unsafe { mb_good_size(20) });
}
