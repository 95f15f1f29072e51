"""A small virtual machine with a stock kernel, real drivers and emulated NVMe drives: Docs/guest.md."""
