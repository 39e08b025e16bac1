//! What ONNX Runtime calls of the custom operators, so that a panic in there is an error.
//!
//! The runtime calls them through C, and a panic that reached C would abort the process. Every
//! operator checks its inputs and returns errors; this is the last line behind that. The panic hook
//! has logged the panic by the time it is caught here.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Mutex, PoisonError};

use ort::operator::{
    ComputeContext, Kernel, KernelContext, Operator, OperatorInput, OperatorOutput,
};

/// An operator whose panics are errors.
pub(crate) struct Guarded<O>(pub(crate) O);

impl<O: Operator> Operator for Guarded<O> {
    type Kernel<'attr> = GuardedKernel<O::Kernel<'attr>>;

    fn name(&self) -> &str {
        self.0.name()
    }

    fn inputs(&self) -> impl IntoIterator<Item = OperatorInput> {
        self.0.inputs()
    }

    fn outputs(&self) -> impl IntoIterator<Item = OperatorOutput> {
        self.0.outputs()
    }

    fn create_kernel<'attr>(
        &self,
        context: &KernelContext<'attr>,
    ) -> ort::Result<Self::Kernel<'attr>> {
        let name = self.name();
        let kernel = guarded(name, || self.0.create_kernel(context))?;
        Ok(GuardedKernel { name: name.to_owned(), kernel })
    }
}

/// The kernel of a [`Guarded`] operator.
pub(crate) struct GuardedKernel<K> {
    name: String,
    kernel: K,
}

impl<K: Kernel> Kernel for GuardedKernel<K> {
    fn compute(&mut self, context: &ComputeContext) -> ort::Result<()> {
        guarded(&self.name, || self.kernel.compute(context))
    }
}

/// The result of `call`; an error if it panics.
fn guarded<T>(operator: &str, call: impl FnOnce() -> ort::Result<T>) -> ort::Result<T> {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|panic| {
        let what = message(panic.as_ref());
        Err(ort::Error::new(format!("a bug in {operator}: {what}")))
    })
}

/// A panic's message.
fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("it panicked")
}

/// Lets `run` call a task from other threads through C: a panic of the task is carried to the
/// calling thread, and goes on there when `run` has returned.
pub(crate) fn carry_panics(
    task: &(dyn Fn(usize) + Sync),
    run: impl FnOnce(&(dyn Fn(usize) + Sync)),
) {
    let first = Mutex::new(None);
    run(&|index| {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| task(index))) {
            first.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(panic);
        }
    });
    if let Some(panic) = first.into_inner().unwrap_or_else(PoisonError::into_inner) {
        resume_unwind(panic);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_after_one_that_panicked_still_run() {
        let done = Mutex::new(Vec::new());
        let task = |index: usize| {
            assert_ne!(index, 0);
            done.lock().unwrap().push(index);
        };
        let caught = catch_unwind(AssertUnwindSafe(|| {
            carry_panics(&task, |task| (0..3).for_each(task));
        }));
        assert!(caught.is_err());
        assert_eq!(*done.lock().unwrap(), [1, 2]);
    }
}
