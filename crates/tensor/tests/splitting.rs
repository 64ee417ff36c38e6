//! Results that are shared out over tasks: every element once, the same on any executor.

use std::sync::atomic::{AtomicUsize, Ordering};

use tiny_vlm_tensor::{Context, Executor, Inline, Stop, Tensor, ViewMut, Workspace, split};

/// An executor that breaks every promise it can in safe code: it calls too often, twice at once, with wrong numbers.
struct Unruly;

impl Executor for Unruly {
    fn threads(&self) -> usize {
        4
    }

    fn run(&self, tasks: usize, body: &(dyn Fn(usize) + Sync)) {
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| (0..tasks + 2).for_each(|_| body(usize::MAX)));
            }
        });
    }
}

fn with_executors(check: impl Fn(&dyn Executor)) {
    check(&Inline);
    // Where no thread can be started, none is unruly.
    if cfg!(not(target_family = "wasm")) {
        check(&Unruly);
    }
    #[cfg(feature = "threads")]
    for threads in [1, 2, 5] {
        check(&tiny_vlm_tensor::Pool::new(threads));
    }
    #[cfg(feature = "rayon")]
    check(&tiny_vlm_tensor::Rayon::current());
}

#[test]
fn chunks_cover_the_data_once() {
    with_executors(|executor| {
        for len in [0, 1, 2, 7, 64, 65, 1000] {
            for chunk_len in [1, 3, 64, 2000] {
                let mut data = vec![0_usize; len];
                split::for_each_chunk(executor, &mut data, chunk_len, |number, chunk| {
                    for (offset, element) in chunk.iter_mut().enumerate() {
                        *element += number * chunk_len + offset + 1;
                    }
                });
                assert!(data.iter().enumerate().all(|(index, &element)| element == index + 1));
            }
        }
    });
}

#[test]
fn tiles_cover_the_output_once() {
    with_executors(|executor| {
        for shape in [[0, 4], [1, 1], [1, 17], [13, 1], [7, 11], [32, 33]] {
            for tile_size in [[1, 1], [2, 3], [8, 16], [100, 100]] {
                let mut output = Tensor::<usize, 2>::zeroed(shape);
                split::for_each_tile(executor, output.view_mut(), tile_size, |first, mut tile| {
                    let [rows, columns] = tile.shape();
                    assert!(rows <= tile_size[0] && columns <= tile_size[1] && !tile.is_empty());
                    for row in 0..rows {
                        for (column, element) in tile.row_mut(row).iter_mut().enumerate() {
                            *element += (first[0] + row) * 1000 + first[1] + column + 1;
                        }
                    }
                });
                assert_eq!(output, Tensor::from_fn(shape, |[row, column]| row * 1000 + column + 1));
            }
        }
    });
}

#[test]
fn tiles_of_a_part_leave_the_rest_alone() {
    with_executors(|executor| {
        let mut output = Tensor::<u32, 2>::zeroed([9, 10]);
        let part = output.view_mut().slice(0, 2..7).slice(1, 3..8);
        split::for_each_tile(executor, part, [2, 2], |_, mut tile| tile.fill(1));
        let inside = |[row, column]: [usize; 2]| (2..7).contains(&row) && (3..8).contains(&column);
        assert_eq!(output, Tensor::from_fn([9, 10], |index| u32::from(inside(index))));
    });
}

#[test]
fn lanes_are_never_shared_by_two_tasks_at_once() {
    with_executors(|executor| {
        for (tasks, lanes, len) in [(0, 1, 4), (1, 3, 12), (50, 4, 16), (50, 4, 3), (10, 1, 1), (7, 20, 40)] {
            let mut buffers = vec![0_u64; len];
            let ran = AtomicUsize::new(0);
            split::for_each_with_lane(executor, tasks, lanes, &mut buffers, |task, lane| {
                assert_eq!(lane.len(), len / lanes);
                lane.fill(task as u64);
                std::thread::yield_now();
                assert!(lane.iter().all(|&value| value == task as u64));
                ran.fetch_add(1, Ordering::Relaxed);
            });
            assert_eq!(ran.into_inner(), tasks);
        }
    });
}

#[test]
fn tiles_and_lanes_go_together() {
    with_executors(|executor| {
        for shape in [[0, 4], [5, 0], [1, 17], [7, 11]] {
            for len in [0, 9] {
                let (mut output, mut buffers) = (Tensor::<u32, 2>::zeroed(shape), vec![0_u32; len]);
                let body = |first: [usize; 2], mut tile: ViewMut<'_, u32, 2>, lane: &mut [u32]| {
                    assert_eq!(lane.len(), len / 3);
                    lane.fill(first[1] as u32);
                    std::thread::yield_now();
                    assert!(lane.iter().all(|&value| value == first[1] as u32));
                    for row in 0..tile.shape()[0] {
                        tile.row_mut(row).iter_mut().for_each(|element| *element += 1);
                    }
                };
                split::for_each_tile_with_lane(executor, output.view_mut(), [2, 3], 3, &mut buffers, body);
                assert_eq!(output, Tensor::from_fn(shape, |_| 1));
            }
        }
    });
}

#[test]
fn scratch_for_each_task_comes_from_the_context() {
    let workspace = Workspace::new(3);
    let context = workspace.context();
    for round in 0..20 {
        let sum = AtomicUsize::new(0);
        context.for_each_with_scratch::<u32>(40, 100, |task, buffer| {
            buffer.fill(task as u32);
            sum.fetch_add(buffer.iter().sum::<u32>() as usize / 100, Ordering::Relaxed);
        });
        assert_eq!(sum.into_inner(), 40 * 39 / 2, "round {round}");
    }
    assert_eq!(workspace.scratch().live_bytes(), 0);
}

#[test]
fn a_context_can_be_lent_with_another_stop_and_listener() {
    let workspace = Workspace::inline();
    let stop = Stop::new();
    let heard = std::cell::Cell::new(0);
    let listener = |stage: &str, done: usize, total: usize| heard.set(stage.len() + done + total);
    let context = workspace.context().with_stop(&stop).with_progress(&listener);
    context.progress.report("tower", 2, 3);
    assert_eq!(heard.get(), 10);
    stop.cancel();
    assert!(context.check().is_err());
    assert!(workspace.context().check().is_ok());
    let scratch = tiny_vlm_memory::Scratch::new();
    assert_eq!(Context::inline(&scratch, &stop).executor.threads(), 1);
}

#[test]
#[should_panic(expected = "covers nothing")]
fn a_tile_of_no_size_is_refused() {
    let mut data = [0; 4];
    split::for_each_tile(&Inline, ViewMut::new([2, 2], &mut data).unwrap(), [0, 1], |_, _| ());
}
