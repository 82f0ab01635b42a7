"""Small correct components, one kind a file: what contracts build beside the component they test, and tests are made with."""
