//! Tensors and views against plain index arithmetic, over many shapes.

use tiny_vlm_tensor::{Tensor, TensorError, View, ViewMut};

/// A small generator, so that the shapes are the same on every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) as usize % limit
    }

    /// A shape with a few zeros and ones among small sizes.
    fn shape<const R: usize>(&mut self) -> [usize; R] {
        [(); R].map(|()| self.below(6))
    }
}

/// All indices of a shape, in order.
fn indices<const R: usize>(shape: [usize; R]) -> Vec<[usize; R]> {
    let count: usize = shape.iter().product();
    (0..count)
        .map(|mut position| {
            let mut index = [0; R];
            for axis in (0..R).rev() {
                index[axis] = position % shape[axis];
                position /= shape[axis];
            }
            index
        })
        .collect()
}

fn number<const R: usize>(index: [usize; R]) -> u32 {
    index.iter().fold(0, |number, &part| number * 10 + part as u32)
}

#[test]
fn elements_lie_in_the_order_of_their_indices() {
    fn check<const R: usize>(random: &mut Random) {
        let shape: [usize; R] = random.shape();
        let tensor = Tensor::from_fn(shape, number);
        let expected: Vec<u32> = indices(shape).into_iter().map(number).collect();
        assert_eq!(tensor.data(), expected);
        assert_eq!(
            (tensor.shape(), tensor.len(), tensor.is_empty()),
            (shape, expected.len(), expected.is_empty())
        );
        let view = tensor.view();
        assert_eq!(view.data(), Some(&*expected));
        for index in indices(shape) {
            assert_eq!((view[index], tensor[index]), (number(index), number(index)));
        }
        assert_eq!(view.get(shape), None);
    }
    let mut random = Random(1);
    for _ in 0..200 {
        check::<1>(&mut random);
        check::<2>(&mut random);
        check::<3>(&mut random);
        check::<4>(&mut random);
    }
}

#[test]
fn slices_and_inner_views_see_the_same_elements() {
    let mut random = Random(2);
    for _ in 0..500 {
        let shape: [usize; 3] = random.shape();
        let tensor = Tensor::from_fn(shape, number);
        let mut first = [0; 3];
        let mut part = tensor.view();
        for axis in 0..3 {
            first[axis] = random.below(shape[axis] + 1);
            let end = first[axis] + random.below(shape[axis] - first[axis] + 1);
            part = part.slice(axis, first[axis]..end);
        }
        for index in indices(part.shape()) {
            let whole = [0, 1, 2].map(|axis| first[axis] + index[axis]);
            assert_eq!(part[index], number(whole));
            assert_eq!(part.at(index[0])[[index[1], index[2]]], number(whole));
            assert_eq!(part.at(index[0]).row(index[1])[index[2]], number(whole));
        }
        let mut copy = Tensor::zeroed(part.shape());
        copy.view_mut().copy_from(part).unwrap();
        let expected: Vec<u32> = indices(part.shape()).into_iter().map(|index| part[index]).collect();
        assert_eq!(copy.data(), expected);
        assert_eq!(part.is_contiguous(), part.data().is_some());
        assert!(part.data().is_none_or(|data| data == expected));
    }
}

#[test]
fn the_two_sides_of_a_split_are_written_apart() {
    let mut random = Random(3);
    for _ in 0..500 {
        let shape: [usize; 3] = random.shape();
        let axis = random.below(3);
        let middle = random.below(shape[axis] + 1);
        let mut tensor = Tensor::<u32, 3>::zeroed(shape);
        let (mut before, mut after) = tensor.view_mut().split_at(axis, middle);
        before.fill(1);
        after.fill(2);
        for index in indices(shape) {
            assert_eq!(tensor[index], if index[axis] < middle { 1 } else { 2 });
        }
    }
}

#[test]
fn writing_reaches_the_owner() {
    let mut tensor = Tensor::<u8, 3>::zeroed([2, 3, 4]);
    let mut view = tensor.view_mut();
    view[[1, 2, 3]] = 9;
    view.at_mut(0).row_mut(1).fill(5);
    view.reborrow().slice(2, 0..1).fill(7);
    *view.get_mut([1, 0, 1]).unwrap() = 8;
    assert_eq!(view.at(0).row(1), [7, 5, 5, 5]);
    tensor[[0, 0, 3]] = 6;
    assert_eq!(tensor.data(), [7, 0, 0, 6, 7, 5, 5, 5, 7, 0, 0, 0, 7, 8, 0, 0, 7, 0, 0, 0, 7, 0, 0, 9]);
}

#[test]
fn reshaping_keeps_the_elements() {
    let tensor = Tensor::from_fn([4, 3, 2], number);
    let data = tensor.data().to_vec();
    let rows = tensor.view().reshape([12, 2]).unwrap();
    assert_eq!(rows.rows().flatten().copied().collect::<Vec<_>>(), data);
    assert!(matches!(tensor.view().reshape([5, 5]), Err(TensorError::Reshape { .. })));
    let part = tensor.view().slice(1, 0..2);
    assert!(matches!(part.reshape([16]), Err(TensorError::Reshape { .. })));
    assert_eq!(part.slice(0, 1..2).reshape([4]).unwrap().as_slice(), [100, 101, 110, 111]);
    assert!(tensor.clone().reshape([7]).is_err());
    assert_eq!(tensor.reshape([24]).unwrap().data(), data);
}

#[test]
fn strided_views_may_repeat_and_leave_gaps() {
    let data = [1, 2, 3, 4, 5, 6, 7];
    let repeated = View::with_strides([3, 2], [0, 1], &data).unwrap();
    assert!(repeated.rows().all(|row| row == [1, 2]));
    let gaps = View::with_strides([2, 3], [4, 1], &data).unwrap();
    assert_eq!(gaps.row(1), [5, 6, 7]);
    assert_eq!((gaps.is_contiguous(), gaps.data()), (false, None));
    let mut data = data;
    let mut gaps = ViewMut::with_strides([2, 3], [4, 1], &mut data).unwrap();
    gaps.fill(0);
    assert!(gaps.data_mut().is_none());
    assert_eq!(data, [0, 0, 0, 4, 0, 0, 0]);
    assert!(ViewMut::with_strides([2, 3], [1, 1], &mut data).is_err());
}

#[test]
fn errors_name_the_shapes() {
    let error = View::new([2, 3], &[0_u8; 5]).unwrap_err();
    assert_eq!(error.to_string(), "shape [2, 3] wants another number of elements than the 5 there are");
    let error = Tensor::<f32, 2>::try_zeroed([usize::MAX, 2]).unwrap_err();
    assert!(error.to_string().contains("too many elements"), "{error}");
    let error = Tensor::<f32, 1>::try_zeroed([usize::MAX / 2]).unwrap_err();
    assert!(error.to_string().contains("too many elements"), "{error}");
    let small = Tensor::<u8, 1>::zeroed([3]);
    let error = Tensor::<u8, 1>::zeroed([4]).view_mut().copy_from(small.view()).unwrap_err();
    assert_eq!(error.to_string(), "shape [3] is not the expected [4]");
}

#[test]
#[should_panic(expected = "range 1..5 leaves axis 1 of shape [2, 4]")]
fn slicing_beyond_the_end_panics() {
    let tensor = Tensor::<u8, 2>::zeroed([2, 4]);
    let _ = tensor.view().slice(1, 1..5);
}

#[test]
#[should_panic(expected = "index [0, 4] leaves shape [2, 4]")]
fn indexing_beyond_the_end_panics() {
    let tensor = Tensor::<u8, 2>::zeroed([2, 4]);
    let _ = tensor[[0, 4]];
}

#[test]
fn views_cross_threads() {
    fn crosses<T: Send + Sync>() {}
    crosses::<View<'_, f32, 2>>();
    crosses::<ViewMut<'_, f32, 2>>();
    crosses::<Tensor<f32, 2>>();
}
