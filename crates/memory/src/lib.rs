//! Aligned buffers, buffer pools, scratch, mapped files and spilled outputs.
