-- Instructions an inference, and who counted them ('PAPI', 'callgrind'); NULL: nobody did.
ALTER TABLE profiles ADD COLUMN instructions REAL;
ALTER TABLE profiles ADD COLUMN instructions_by TEXT;
