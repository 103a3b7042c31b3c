"""The sequencer's instruction set, programs, and the bridges that execute them."""
